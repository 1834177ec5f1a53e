import { mountAt } from '../mount-table.ts'
import type { Settings } from '../settings.ts'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { judgeRoom } from './room.ts'
import { hasFstabEntry } from './where.ts'

export const mountChecks: readonly Check[] = [
  {
    group: 'mounts',
    name: 'SFS',
    what: 'the share on Verda: mounted, the right one, writable, hard',
    uses: ['VERDA_SSH', 'SFS_ROOT', 'SFS_REQUIRE_MOUNT', 'SFS_PROD', 'SFS_CLONE'],
    async check({ host, settings }: Context): Promise<Finding[]> {
      const verda = await host('verda')
      // The kernel's own table: it answers also while the share hangs.
      const { stdout } = await verda.run('cat /proc/self/mountinfo', [], { timeout: 20 })
      return judgeMount(stdout.toString(), settings)
    },
  },
  {
    group: 'mounts',
    name: 'fstab',
    what: 'whether the share is mounted again after a restart',
    uses: ['VERDA_SSH', 'SFS_ROOT', 'SFS_REQUIRE_MOUNT', 'VERDA_ROOT'],
    async check({ host, settings }: Context): Promise<Finding[]> {
      const { root, requireMount, prod } = settings.sfs
      if (!requireMount) return [ok('no mount is required (SFS_REQUIRE_MOUNT is 0)')]
      const verda = await host('verda')
      const file = `${verda.root === '/' ? '' : verda.root}/etc/fstab`
      const { stdout } = await verda.run('[[ ! -e $1 ]] || cat -- "$1"', [file], { timeout: 20 })
      if (hasFstabEntry(stdout.toString(), root)) return [ok(`has an entry for ${root}`)]
      return [
        warning(
          `has no entry for ${root}: after a restart the share is missing`,
          `add a line to /etc/fstab on Verda: ${prod ?? '<host:/path of the share>'} ${root} nfs ${settings.sfs.mountOptions ?? 'defaults,hard,nofail,_netdev'} 0 0`,
        ),
      ]
    },
  },
]

/** From Mello; on Verda itself the store on the share is probed. */
export const mountChecksOnMello: readonly Check[] = [
  {
    group: 'mounts',
    name: 'room',
    what: 'that the share on Verda answers, and its free room',
    uses: ['VERDA_SSH', 'SFS_ROOT'],
    async check({ host, settings }: Context): Promise<Finding[]> {
      const { root } = settings.sfs
      const verda = await host('verda')
      // A share that hangs must not hold up who asks: after so long that is the answer.
      const script = 'set -- $(timeout -s KILL 15 stat -f -c "%a %S" -- "$1") && echo "$(($1 * $2))"'
      const { stdout, exitCodes } = await verda.run(script, [root], { timeout: 20 })
      if (exitCodes[0] === 0) return [judgeRoom(root, 'has', Number(stdout))]
      return [
        wrong(
          `${root} does not answer on Verda`,
          'the share hangs or is not there: on Verda see findmnt and dmesg, and whether the share is granted to this instance ("share settings")',
        ),
      ]
    },
  },
]

/** What the kernel's table of mounts says of the share. Pure. */
export function judgeMount(mountinfo: string, { sfs }: Pick<Settings, 'sfs'>): Finding[] {
  const { root, requireMount, prod, clone, mountOptions = '' } = sfs
  const mount = mountAt(mountinfo, root)
  if (mount === undefined) {
    if (!requireMount) return [ok(`${root} is no mount, and need not be one (SFS_REQUIRE_MOUNT is 0)`)]
    const share = prod ?? clone
    return [
      wrong(
        `nothing is mounted at ${root}`,
        `mount ${root}${share ? ` (${share})` : ''}; if that fails, grant the share to this instance in Verda's console, "share settings"`,
      ),
    ]
  }
  const is = (option: string) => mount.options.includes(option)
  const seen = `${mount.source} at ${root}, ${mount.type}`
  if (is('ro'))
    return [wrong(`${seen}, is mounted read-only`, `mount -o remount,rw ${root}; see also the kernel's log`)]
  const findings: Finding[] = []
  const shares = [prod, clone].filter((share) => share !== undefined)
  const isNfs = mount.type.startsWith('nfs')
  if (shares.length > 0 && !shares.some((share) => sameShare(share, mount.source)))
    findings.push(
      warning(
        `${seen}, is neither SFS_PROD nor SFS_CLONE (${shares.join(', ')})`,
        "see which share that is: its path changes when it is renamed in Verda's console. Then set SFS_PROD, or mount the other",
      ),
    )
  else if (!isNfs)
    findings.push(
      warning(
        `${seen}, is not NFS: is that the share?`,
        'see what is mounted there (findmnt), and mount the share',
      ),
    )
  if (isNfs && is('soft'))
    findings.push(
      warning(
        `${seen}, is mounted soft: when its server is slow, writes fail half-way`,
        `mount it with hard in the place of soft (options in /etc/fstab, then umount ${root} and mount ${root})`,
      ),
    )
  const lacking = shownOptions(mountOptions).filter(
    (option) => !mount.options.some((own) => own === option || own.startsWith(`${option}.`)),
  )
  if (lacking.length > 0)
    findings.push(
      warning(
        `${seen}, is mounted without ${lacking.join(', ')} of SFS_MOUNT_OPTIONS`,
        `umount ${root}, and mount it with -o ${mountOptions}; have the same in /etc/fstab`,
      ),
    )
  if (findings.length > 0) return findings
  return [ok(`${seen}, ${isNfs && is('hard') ? 'rw, hard' : 'rw'}`)]
}

function sameShare(a: string, b: string): boolean {
  return a.replace(/\/+$/, '') === b.replace(/\/+$/, '')
}

/** Those options that the kernel repeats as they were given. `vers=4` is met by `vers=4.2`. */
function shownOptions(options: string): string[] {
  return options
    .split(',')
    .map((option) => option.replace(/^nfsvers=/, 'vers='))
    .filter((option) => /^(?:hard|soft|rw|ro|noatime|nconnect=|proto=|sec=|vers=)/.test(option))
}
