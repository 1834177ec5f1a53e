import { type Finding, ok, warning, wrong } from '../../cli/finding.ts'
import { commandSeconds } from '../../hosts/host.ts'
import type { Settings } from '../../settings/settings.ts'
import { bytesInWords } from '../../text.ts'
import type { Checks, Context, Findings } from '../context.ts'
import { fstabEntry, mountAt } from '../machine.ts'

export const mounts: Checks = ({ on }) => [
  {
    name: 'SFS',
    what: 'the share on Verda: mounted, the right one, writable, hard',
    uses: ['VERDA_SSH', 'SFS_ROOT', 'SFS_REQUIRE_MOUNT', 'SFS_PROD', 'SFS_CLONE'],
    async check({ host, settings }) {
      const verda = await host('verda')
      // The kernel's own table can be read even while the share hangs.
      const { stdout } = await verda.$`cat /proc/self/mountinfo`
      return judgeMount(stdout, settings)
    },
  },
  {
    name: 'fstab',
    what: 'whether the share is mounted again after a restart',
    uses: ['VERDA_SSH', 'SFS_ROOT', 'SFS_REQUIRE_MOUNT', 'SFS_PROD', 'SFS_CLONE', 'VERDA_ROOT'],
    async check({ host, settings }) {
      const verda = await host('verda')
      const file = `${verda.root === '/' ? '' : verda.root}/etc/fstab`
      const { stdout } = await verda.$`[[ ! -e ${file} ]] || cat -- ${file}`
      return [judgeFstab(stdout, settings)]
    },
  },
  // On Verda, the store's own check covers the share.
  ...(on === 'mello'
    ? [
        {
          name: 'room',
          what: 'that the share on Verda answers, and its free space',
          uses: ['VERDA_SSH', 'SFS_ROOT'],
          check: checkRoom,
        },
      ]
    : []),
]

async function checkRoom({ host, settings }: Context): Promise<Findings> {
  const { root } = settings.sfs
  const verda = await host('verda')
  const script = 'set -- $(timeout -s KILL 15 stat -f -c "%a %S" -- "$1") && echo "$(($1 * $2))"'
  const { stdout, exitCodes } = await verda.run(script, [root], { timeout: commandSeconds })
  if (exitCodes[0] === 0) return [judgeRoom(root, 'has', Number(stdout))]
  return wrong(
    `${root} does not answer on Verda`,
    'the share hangs or is not mounted: on Verda see findmnt and dmesg, and whether the share is granted to this instance ("share settings")',
  )
}

/** Judges the share by the kernel's mount table. Pure. */
export function judgeMount(mountinfo: string, { sfs }: Pick<Settings, 'sfs'>): Findings {
  const { root, requireMount, prod, clone, mountOptions = '' } = sfs
  const mount = mountAt(mountinfo, root)
  if (mount === undefined) {
    if (!requireMount) return ok(`${root} is not a mount point, and need not be one (SFS_REQUIRE_MOUNT is 0)`)
    const share = prod ?? clone
    return wrong(
      `nothing is mounted at ${root}`,
      `mount ${root}${share ? ` (${share})` : ''}; if that fails, grant the share to this instance in Verda's console, "share settings"`,
    )
  }
  const is = (option: string) => mount.options.includes(option)
  const seen = `${mount.source} at ${root}, ${mount.type}`
  if (is('ro'))
    return wrong(`${seen}, is mounted read-only`, `mount -o remount,rw ${root}; see also the kernel's log`)
  const isNfs = mount.type.startsWith('nfs')
  const lacking = shownOptions(mountOptions).filter(
    (option) => !mount.options.some((own) => own === option || own.startsWith(`${option}.`)),
  )
  const odd = (isSo: boolean, what: string, todo: string) => (isSo ? [warning(`${seen}, ${what}`, todo)] : [])
  const foreign = isForeign(mount.source, sfs)
  const findings = [
    ...odd(
      foreign,
      `is neither SFS_PROD nor SFS_CLONE (${sharesOf(sfs).join(', ')})`,
      "see which share that is: its path changes when it is renamed in Verda's console. Then set SFS_PROD, or mount the other",
    ),
    ...odd(
      !isNfs && !foreign,
      'is not NFS: is that the share?',
      'see what is mounted (findmnt), and mount the share',
    ),
    ...odd(
      isNfs && is('soft'),
      'is mounted soft: when its server is slow, writes fail half-way',
      `replace soft by hard in /etc/fstab, then umount ${root} and mount ${root}`,
    ),
    ...odd(
      lacking.length > 0,
      `is mounted without ${lacking.join(', ')} of SFS_MOUNT_OPTIONS`,
      `umount ${root}, and mount it with -o ${mountOptions}; set the same in /etc/fstab`,
    ),
  ]
  if (findings.length > 0) return findings
  return ok(`${seen}, ${isNfs && is('hard') ? 'rw, hard' : 'rw'}`)
}

/** Judges the share's fstab entry. Pure. */
export function judgeFstab(fstab: string, { sfs }: Pick<Settings, 'sfs'>): Finding {
  const { root, requireMount, prod, mountOptions } = sfs
  if (!requireMount) return ok('no mount is required (SFS_REQUIRE_MOUNT is 0)')
  const entry = fstabEntry(fstab, root)
  const line = `${prod ?? '<host:/path of the share>'} ${root} nfs ${mountOptions ?? 'defaults,hard,nofail,_netdev'} 0 0`
  const todo = `give /etc/fstab on Verda this line: ${line}`
  if (entry === undefined)
    return warning(`has no entry for ${root}: after a restart the share is missing`, todo)
  if (entry.options.includes('noauto'))
    return warning(`has an entry for ${root} with noauto: after a restart the share is missing`, todo)
  if (isForeign(entry.source, sfs))
    return warning(
      `mounts ${entry.source} at ${root}, which is neither SFS_PROD nor SFS_CLONE (${sharesOf(sfs).join(', ')})`,
      todo,
    )
  return ok(`has an entry for ${root}`)
}

function sharesOf({ prod, clone }: Settings['sfs']): string[] {
  return [prod, clone].filter((share) => share !== undefined)
}

function isForeign(source: string, sfs: Settings['sfs']): boolean {
  const plain = (share: string) => share.replace(/\/+$/, '')
  const shares = sharesOf(sfs)
  return shares.length > 0 && !shares.some((share) => plain(share) === plain(source))
}

/** The options that the kernel shows as given. `vers=4.2` satisfies `vers=4`. */
function shownOptions(options: string): string[] {
  return options
    .split(',')
    .map((option) => option.replace(/^nfsvers=/, 'vers='))
    .filter((option) => /^(?:hard|soft|rw|ro|noatime|nconnect=|proto=|sec=|vers=)/.test(option))
}

/** What one full run writes: homes of about 6.5 GB, images of about 20 GB (facts, "R2 Buckets"). */
const wholeRunBytes = 27e9
/** With less, even the configuration's archives may not fit. */
const leastBytes = 2e9

/** Whether a folder has space for what comes next. `how` completes the text: `can be written to and has`. */
export function judgeRoom(folder: string, how: string, freeBytes: number): Finding {
  const found = `${folder} ${how} ${bytesInWords(freeBytes)} free`
  const todo = `free space or enlarge the disk: du -xh --max-depth=2 ${folder} | sort -h | tail`
  if (freeBytes < leastBytes) return wrong(found, todo)
  if (freeBytes < wholeRunBytes)
    return warning(`${found}: less than the ${bytesInWords(wholeRunBytes)} of homes and images`, todo)
  return ok(found)
}
