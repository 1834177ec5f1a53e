import { lstat, readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import path from 'node:path'
import { readCrontab, toolkitRun } from '../crontab.ts'
import { commandSeconds } from '../hosts/host.ts'
import { localHost } from '../hosts/local.ts'
import type { HostName } from '../inventory.ts'
import { examineSettings } from '../settings/settings.ts'

/** A line of /proc/self/mountinfo; see proc(5). */
export interface Mount {
  /** What is mounted: a device or `host:/path`. */
  source: string
  type: string
  options: string[]
}

/** The last mount at exactly that folder. Pure. */
export function mountAt(mountinfo: string, folder: string): Mount | undefined {
  let found: Mount | undefined
  for (const line of mountinfo.split('\n')) {
    const [own = '', theirs = ''] = line.split(' - ')
    const [, , , , at = '', mountOptions = ''] = own.split(' ')
    const [type = '', source = '', superOptions = ''] = theirs.split(' ')
    if (unescaped(at) !== folder) continue
    // A mount may be `rw` on a file system that is `ro`, so both count.
    found = {
      source: unescaped(source),
      type,
      options: [...new Set([...mountOptions.split(','), ...superOptions.split(',')])],
    }
  }
  return found
}

/** What fstab mounts at a folder. Pure. */
export function fstabEntry(fstab: string, folder: string): Mount | undefined {
  for (const line of fstab.split('\n')) {
    const [source = '#', at, type = '', options = ''] = line.trim().split(/\s+/).map(unescaped)
    if (!source.startsWith('#') && at === folder) return { source, type, options: options.split(',') }
  }
  return undefined
}

/** Both tables write space, tab, newline and backslash as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)))
}

/** What tells the machines apart. All of it can be read without touching a share. */
export interface Traces {
  crontab: string
  mountinfo: string
  fstab: string
}

export async function thisMachine(environment: Record<string, string | undefined>) {
  const { sfs, roots } = examineSettings(environment).settings
  const read = (file: string) => readFile(file, 'utf8').catch(() => '')
  const here = localHost({ name: 'this machine', root: '/' })
  const crontab = await here.run('crontab -l', [], { timeout: commandSeconds }).then(
    ({ stdout }) => stdout.toString(),
    () => '',
  )
  const mountinfo = await read('/proc/self/mountinfo')
  const fstab = await read(path.join(roots.verda, 'etc/fstab'))
  return guessHost({ crontab, mountinfo, fstab }, sfs.root)
}

/** Which machine has these traces, and why. Pure. */
export function guessHost(
  { crontab, mountinfo, fstab }: Traces,
  sfsRoot: string,
): { on: HostName; because: string } {
  const runs = readCrontab(crontab).lines.flatMap((line) => toolkitRun(line)?.name ?? [])
  if (runs.includes('backup-cron')) return { on: 'verda', because: 'the crontab runs backup-cron' }
  for (const command of ['backup-verda', 'backup-mello'])
    if (runs.includes(command)) return { on: 'mello', because: `the crontab runs ${command}` }
  if (mountAt(mountinfo, sfsRoot)) return { on: 'verda', because: `a share is mounted at ${sfsRoot}` }
  if (fstabEntry(fstab, sfsRoot)) return { on: 'verda', because: `/etc/fstab has an entry for ${sfsRoot}` }
  return {
    on: 'mello',
    because: `no crontab runs backup-cron and nothing is mounted at ${sfsRoot}; if this is Verda: comfyume-backup doctor --on verda`,
  }
}

/** NFS maps root's files to this number unless the share trusts root. */
const nobody = 65534

/**
 * Why users other than root and this one could change a file or add to a folder. Undefined when they cannot,
 * when it does not exist, and for a link. A group of this user's own counts as this user.
 */
export async function unsafePermissions(file: string): Promise<string | undefined> {
  const about = await lstat(file).catch(() => undefined)
  if (about === undefined || about.isSymbolicLink()) return undefined
  const strangersInGroup = ![0, process.getgid?.()].includes(about.gid)
  if ((about.mode & 0o002) !== 0 || ((about.mode & 0o020) !== 0 && strangersInGroup))
    return `has mode ${modeOf(about)}: others can write to it`
  // Anyone but root must accept what root or they themselves set up.
  if (process.getuid?.() !== 0 || [0, nobody].includes(about.uid)) return undefined
  return `belongs to user number ${about.uid}, who can write to it`
}

/** `0644`, `01777`. */
export function modeOf({ mode }: { mode: number }): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`
}

/** Whether others can read and fake traffic to an address: http beyond this machine and the tailnet. */
export function isInTheClear(address: string): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, hostname } = new URL(address)
  if (protocol !== 'http:') return false
  const [first = 0, second = 0] = isIPv4(hostname) ? hostname.split('.').map(Number) : []
  const here = /(?:^|\.)localhost$/.test(hostname) || hostname === '[::1]' || first === 127
  const tailnet = (first === 100 && second >= 64 && second < 128) || hostname.endsWith('.ts.net')
  return !here && !tailnet
}
