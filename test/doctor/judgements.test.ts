import { describe, expect, test } from 'vitest'
import { judgeZone } from '../../lib/doctor/clock.ts'
import { readBackupLine, readCrontab } from '../../lib/doctor/crontab.ts'
import { errorFinding, inTwo } from '../../lib/doctor/error-finding.ts'
import { judgeMount } from '../../lib/doctor/mounts.ts'
import { isAtLeast, judgeCapture } from '../../lib/doctor/tools.ts'
import { guessHost } from '../../lib/doctor/where.ts'
import { mountAt } from '../../lib/mount-table.ts'
import { readSettings } from '../../lib/settings.ts'

/** A line of /proc/self/mountinfo. */
const mounted = (source: string, type: string, options: string, at = '/mnt/sfs') =>
  `22 27 0:21 / / rw,relatime - ext4 /dev/vda rw\n36 22 0:40 / ${at} rw,relatime shared:9 - ${type} ${source} ${options}\n`
const nfs = (
  options = 'rw,vers=4.2,rsize=1048576,hard,proto=tcp,nconnect=16',
  source = 'nfs.fin-01:/prod-1a2b',
) => mounted(source, 'nfs4', options)

describe('which machine this is', () => {
  const nothing = { crontab: '', mountinfo: '', fstab: '' }
  test.each([
    [
      { crontab: '5 * * * * tsx /opt/x/scripts/backup-cron.ts >>/var/log/x' },
      'verda',
      'the crontab runs backup-cron',
    ],
    [{ crontab: '5 * * * * tsx /opt/x/scripts/backup-mello.ts' }, 'mello', 'the crontab runs backup-mello'],
    [{ mountinfo: nfs() }, 'verda', 'a share is mounted at /mnt/sfs'],
    [{ fstab: 'x:/y\t/mnt/sfs\tnfs hard 0 0' }, 'verda', '/etc/fstab has an entry for /mnt/sfs'],
    [{ fstab: '# x:/y /mnt/sfs nfs hard 0 0' }, 'mello', 'no crontab runs backup-cron'],
    [{ crontab: '# 5 * * * * tsx scripts/backup-cron.ts' }, 'mello', 'no crontab runs backup-cron'],
    [
      { mountinfo: nfs(), crontab: '5 * * * * tsx scripts/backup-verda.ts' },
      'mello',
      'the crontab runs backup-verda',
    ],
    [{}, 'mello', 'if this is Verda, say --on verda'],
  ])('%j', (traces, on, because) => {
    const guess = guessHost({ ...nothing, ...traces }, '/mnt/sfs')
    expect(guess.on).toBe(on)
    expect(guess.because).toContain(because)
  })
})

describe('the mount of the share', () => {
  test.each<[string, Record<string, string>, string]>([
    [nfs(), {}, 'ok nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, rw, hard'],
    [nfs(), { SFS_PROD: 'nfs.fin-01:/prod-1a2b/' }, 'ok nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, rw, hard'],
    [nfs(), { SFS_PROD: 'nfs.fin-01:/other', SFS_CLONE: 'nfs.fin-01:/prod-1a2b' }, 'ok nfs'],
    [
      nfs(),
      { SFS_PROD: 'nfs.fin-01:/renamed' },
      'warning nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, is neither SFS_PROD nor SFS_CLONE (nfs.fin-01:/renamed)',
    ],
    [nfs('rw,soft,vers=4.2'), {}, 'warning nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, is mounted soft'],
    [nfs('ro,hard'), {}, 'wrong nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, is mounted read-only'],
    [mounted('/dev/vdb', 'ext4', 'rw'), {}, 'warning /dev/vdb at /mnt/sfs, ext4, is not NFS'],
    [nfs('rw,hard', 'x:/y').replace('/mnt/sfs', '/mnt/other'), {}, 'wrong nothing is mounted at /mnt/sfs'],
    ['', { SFS_REQUIRE_MOUNT: '0' }, 'ok /mnt/sfs is no mount, and need not be one'],
    [nfs(), { SFS_MOUNT_OPTIONS: 'defaults,hard,nofail,_netdev,nfsvers=4,nconnect=16' }, 'ok nfs'],
    [
      nfs(),
      { SFS_MOUNT_OPTIONS: 'hard,noatime,nconnect=8' },
      'warning nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, is mounted without noatime, nconnect=8',
    ],
  ])('%j with %j', (mountinfo, env, expected) => {
    const findings = judgeMount(mountinfo, readSettings(env)).map(({ status, found }) => `${status} ${found}`)
    expect(findings).toHaveLength(1)
    expect(findings[0]).toMatch(new RegExp(`^${expected.replace(/[.()/]/g, '\\$&')}`))
  })

  test('a share that is missing is told with what to mount', () => {
    const [finding] = judgeMount('', readSettings({ SFS_PROD: 'nfs.fin-01:/prod' }))
    expect(finding?.todo).toBe(
      'mount /mnt/sfs (nfs.fin-01:/prod); if that fails, grant the share to this instance in Verda\'s console, "share settings"',
    )
  })

  test('of two mounts over each other the upper one counts, and names with spaces are read', () => {
    const table =
      mounted('a:/1', 'nfs', 'rw', '/mnt/my\\040share') + mounted('b:/2', 'nfs', 'rw', '/mnt/my\\040share')
    expect(mountAt(table, '/mnt/my share')?.source).toBe('b:/2')
    expect(mountAt(table, '/mnt/my')).toBeUndefined()
  })
})

test.each([
  ['Etc/UTC', '+0000', 'yes', ['ok']],
  ['UTC', '+0000', undefined, ['ok']],
  ['', '+0000', undefined, ['ok']],
  ['', '+0100', undefined, ['wrong']],
  ['Europe/Lisbon', '+0000', 'yes', ['wrong']],
  ['Etc/UTC', '+0000', 'no', ['ok', 'warning']],
])('the zone %j at %s, synchronized %s, is %j', (zone, offset, synchronized, statuses) => {
  expect(judgeZone(zone, offset, synchronized).map(({ status }) => status)).toEqual(statuses)
})

describe('tools', () => {
  const said: Record<string, string> = {
    bash: 'GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)',
    tar: 'tar (GNU tar) 1.35',
    find: 'find (GNU findutils) 4.9.0',
    sha256sum: 'sha256sum (GNU coreutils) 9.4',
  }
  const names = [
    'igzip',
    'pigz',
    'gzip',
    'sqlite3',
    'awk',
    'sed',
    'stat',
    'mktemp',
    'mountpoint',
    'tee',
    'grep',
    'od',
  ]
  const without = (...gone: string[]) =>
    judgeCapture(
      new Map(
        [...Object.keys(said), ...names]
          .filter((name) => !gone.includes(name))
          .map((name) => [name, { path: `/usr/bin/${name}`, said: said[name] ?? '' }]),
      ),
    )
  const odd = (...gone: string[]) =>
    without(...gone).flatMap(({ status, name, found }) =>
      status === 'ok' ? [] : [`${status} ${name}: ${found}`],
    )

  test('nothing is wrong where all are there', () => expect(odd()).toEqual([]))
  test.each([
    [['tar'], ['wrong tar: tar is not there: nothing can be packed']],
    [['sha256sum'], ['wrong sha256sum: sha256sum is not there: no record can be checked']],
    [
      ['sqlite3'],
      ['warning sqlite3: is not there: a database that is being written to is packed as it lies'],
    ],
    [['awk', 'od'], ['wrong others: awk, od not found']],
    [['igzip', 'pigz', 'gzip'], ['wrong compressor: gzip is not there: nothing can be packed']],
  ])('without %j', (gone, lines) => expect(odd(...gone)).toEqual(lines))

  test.each([
    [[], 'igzip is used'],
    [['igzip'], 'pigz is used; igzip (apt-get install isal) is several times as fast'],
    [['igzip', 'pigz'], 'gzip is used; igzip (apt-get install isal) is several times as fast'],
  ])('the compressor without %j', (gone, found) => {
    expect(without(...gone).find(({ name }) => name === 'compressor')?.found).toBe(found)
  })

  test.each([
    ['20.19.0', true],
    ['20.18.9', false],
    ['22.0.0', true],
    ['18.20.1', false],
  ])('node %s', (version, expected) => expect(isAtLeast(version, [20, 19])).toBe(expected))
})

describe('a crontab', () => {
  test('is read as cron reads it', () => {
    const text = 'PATH = "/a:/b"\n# 1 2 3 4 5 no\n\n 5 */2 1,2 jan-mar mon  /bin/x  y\n@daily z\nnonsense\n'
    expect(readCrontab(text)).toEqual({
      variables: { PATH: '/a:/b' },
      lines: [
        { schedule: '5 */2 1,2 jan-mar mon', command: '/bin/x  y' },
        { schedule: '@daily', command: 'z' },
      ],
    })
  })

  test.each([
    [
      '/opt/x/node_modules/.bin/tsx /opt/x/scripts/backup-cron.ts --only env >>/var/log/b.log 2>&1',
      ['env -> sfs'],
    ],
    ['cd /opt/x && npx tsx scripts/backup-mello.ts --only credentials', ['credentials -> git']],
    ['tsx scripts/backup-verda.ts --only models --quick', []],
    ['tsx scripts/backup-verda.ts --only models --to=r2', ['models -> r2', 'models -> hetzner']],
  ])('%s', (command, covers) => {
    expect(readBackupLine({ schedule: '@daily', command })?.covers).toEqual(covers)
  })

  test.each(['tsx scripts/status.ts', '/usr/bin/find /home -name backup-cron.ts', 'my-backup-cron.sh'])(
    '%s is none of its backups',
    (command) => expect(readBackupLine({ schedule: '@daily', command })).toBeUndefined(),
  )

  test('a line with --dry-run backs up nothing', () => {
    const line = readBackupLine({ schedule: '@daily', command: 'tsx scripts/backup-cron.ts --dry-run' })
    expect(line).toMatchObject({ covers: [], refused: 'it does nothing, with that flag' })
  })

  test('a lock file that flock makes is none of the paths that must be there', () => {
    const command = '/usr/bin/flock -n /run/b.lock /opt/tsx /opt/scripts/backup-cron.ts --only env'
    const line = readBackupLine({ schedule: '@daily', command })
    expect(line).toMatchObject({
      program: '/usr/bin/flock',
      paths: ['/opt/tsx', '/opt/scripts/backup-cron.ts'],
    })
  })

  test('the program is found behind variables, which are not told', () => {
    const command = 'KEY=secret B=/b /opt/tsx /opt/scripts/backup-cron.ts --only env >>/log 2>&1'
    const line = readBackupLine({ schedule: '@daily', command })
    expect(line).toMatchObject({ program: '/opt/tsx', paths: ['/opt/scripts/backup-cron.ts'], log: '/log' })
    expect(JSON.stringify({ ...line, command: '' })).not.toContain('secret')
  })
})

describe('an error', () => {
  test.each([
    ['sfs: /x cannot be written to: no', { found: '/x cannot be written to: no' }],
    [
      'r2 bucket b: could not list: 404. Check its name: x',
      { found: 'r2 bucket b: could not list: 404', todo: 'Check its name: x' },
    ],
    [
      'there is no image x on verda: build or load it',
      { found: 'there is no image x on verda', todo: 'build or load it' },
    ],
    [
      'verda: it cannot be reached. Is it up?\nssh said: timed out',
      { found: 'ssh said: timed out', todo: 'it cannot be reached. Is it up?' },
    ],
    [
      'verda: sudo did not start bash there (exit 1): no\nAs root, run\n  visudo',
      { found: 'sudo did not start bash there (exit 1): no', todo: 'As root, run visudo' },
    ],
  ])('%j is told in two lines', (message, expected) => expect(inTwo(message)).toEqual(expected))

  test('that is a defect says so', () => {
    expect(errorFinding(new TypeError('x is not a function'))).toMatchObject({
      status: 'wrong',
      found: expect.stringContaining('the check itself failed: TypeError: x is not a function'),
      todo: expect.stringContaining('a defect of this toolkit'),
    })
  })
})
