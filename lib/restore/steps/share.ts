import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { has, sh } from '../../hosts/shell.ts'
import type { Settings } from '../../settings/settings.ts'
import { runAgain } from '../../text.ts'
import { type RestoreContext, Skip, type Step } from '../context.ts'
import type { PlanNote } from '../report.ts'
import { aptGet } from './packages.ts'

/** This machine's share: `--sfs`, otherwise by its environment (facts, "Model Source Priority"). */
export type Share = 'prod' | 'clone'

export function shareOf({ environment }: Settings, asked?: Share): Share {
  return asked ?? (environment === 'production' ? 'prod' : 'clone')
}

/** The `host:/path` of the share to mount, if the settings name it. */
function addressOf({ sfs }: Settings, share: Share): string | undefined {
  return share === 'prod' ? sfs.prod : sfs.clone
}

const defaultOptions = 'rw,hard,nofail,_netdev'

/** Adds an entry to /etc/fstab, so that the share is mounted again after a reboot. */
export function shareStep(context: RestoreContext, share: Share): Step {
  const { settings } = context
  const { root } = settings.sfs
  const address = addressOf(settings, share)
  return {
    name: 'sfs',
    title: `SFS mounted at ${root}, also after a reboot (/etc/fstab)`,
    items: [],
    async done() {
      if (address === undefined) return undefined
      const there = (await readFile('/etc/fstab', 'utf8').catch(() => ''))
        .split('\n')
        .includes(fstabLine(settings, share) as string)
      return there && (await mounted(root)) === address
        ? `${address} is mounted at ${root} and in /etc/fstab`
        : undefined
    },
    async do() {
      if (address === undefined)
        throw new Skip(
          `${share === 'prod' ? 'SFS_PROD' : 'SFS_CLONE'} is not set: nothing is written to /etc/fstab, and after a reboot the share is not there`,
        )
      await writeFstab(settings, share)
      const problem = await mountShare(settings, share)
      if (problem !== undefined) throw new Error(problem)
      return { said: `${address} at ${root}, and in /etc/fstab`, changed: true }
    },
  }
}

/** Adds the share to /etc/fstab, if the settings name it. */
export async function writeFstab(settings: Settings, share: Share): Promise<void> {
  const line = fstabLine(settings, share)
  if (line === undefined) return
  const before = await readFile('/etc/fstab', 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return ''
    throw error
  })
  await writeFile('/etc/fstab.comfyume-backup', fstabWith(before, settings.sfs.root, line), { mode: 0o644 })
  await rename('/etc/fstab.comfyume-backup', '/etc/fstab')
}

function fstabLine(settings: Settings, share: Share): string | undefined {
  const { root, mountOptions } = settings.sfs
  const address = addressOf(settings, share)
  return address && `${address} ${root} nfs ${mountOptions ?? defaultOptions} 0 0`
}

/** Makes `line` the only entry for a mount point in /etc/fstab; old entries become comments. Pure. */
export function fstabWith(text: string, mountPoint: string, line: string): string {
  const lines = text.split('\n')
  while (lines.at(-1) === '') lines.pop()
  const others = lines.map((one) => {
    const [, where] = one.trim().split(/\s+/)
    return !one.trimStart().startsWith('#') && where === mountPoint && one !== line
      ? `# before the restore: ${one}`
      : one
  })
  return `${others.includes(line) ? others.join('\n') : [...others, line].join('\n')}\n`
}

/** Mounts the share unless it is mounted. Returns why that failed and what to do. */
export async function mountShare(settings: Settings, share: Share): Promise<string | undefined> {
  const { root, mountOptions } = settings.sfs
  const address = addressOf(settings, share)
  const there = await mounted(root)
  if (there !== undefined) {
    if (address === undefined || there === address) return undefined
    return `${root} is a mount of ${there} instead of ${address}. To use that share: comfyume-backup restore --sfs ${share === 'prod' ? 'clone' : 'prod'}. To use the other: umount ${root}, then ${runAgain()}`
  }
  const setting = share === 'prod' ? 'SFS_PROD' : 'SFS_CLONE'
  if (address === undefined)
    return `${root} is not mounted, and ${setting} does not say what should be: set it to the share's host:/path`
  if (!(await has('mount.nfs'))) {
    await aptGet('update').catch(() => {})
    await aptGet('install', '--no-install-recommends', 'nfs-common')
  }
  await mkdir(root, { recursive: true })
  const { exitCode, stderr } =
    await sh`timeout 90 mount -t nfs -o ${mountOptions ?? defaultOptions} ${address} ${root}`
  if (exitCode === 0) return undefined
  return (
    `${address} could not be mounted at ${root}: ${stderr.trim() || 'no answer for 90 s'}. Share it with this instance in Verda's console ("share settings"; ` +
    `being in the same location is not enough), and check that ${setting} is the pseudopath that the console shows now: it changes when a share is renamed`
  )
}

/** Mounts the share before planning, except in a dry run: its copies then count. Returns any problem. */
export async function reachShare(
  settings: Settings,
  share: Share | undefined,
  dryRun: boolean,
): Promise<PlanNote | undefined> {
  if (!settings.sfs.requireMount) return undefined
  const { root } = settings.sfs
  if (dryRun && (await mounted(root)) === undefined) return { kind: 'share not mounted yet', root }
  const problem = await mountShare(settings, shareOf(settings, share))
  return problem === undefined ? undefined : { kind: 'no share', why: problem }
}

/** What is mounted at a folder; undefined for nothing. */
export async function mounted(folder: string): Promise<string | undefined> {
  const { exitCode, stdout } =
    await sh`timeout 20 findmnt --noheadings --output SOURCE --mountpoint ${folder}`
  return exitCode === 0 ? stdout.trim() : undefined
}
