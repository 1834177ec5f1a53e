import { describe, expect, test } from 'vitest'
import { CaptureError } from '../../lib/capture/capture.ts'
import { NotChecked } from '../../lib/cli/finding.ts'
import { judgeZone } from '../../lib/doctor/checks/clock.ts'
import { judgeFstab, judgeMount } from '../../lib/doctor/checks/mounts.ts'
import { isAtLeast, judgeCapture, judgeRuntime } from '../../lib/doctor/checks/tools.ts'
import { guessHost, mountAt } from '../../lib/doctor/machine.ts'
import { errorFinding } from '../../lib/doctor/run.ts'
import { HostError } from '../../lib/hosts/host.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { StoreError } from '../../lib/stores/store.ts'

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
    [{ crontab: '5 * * * * comfyume-backup backup-cron' }, 'verda', 'the crontab runs backup-cron'],
    [{ fstab: 'x:/y\t/mnt/sfs\tnfs hard 0 0' }, 'verda', '/etc/fstab has an entry for /mnt/sfs'],
    [{ fstab: '# x:/y /mnt/sfs nfs hard 0 0' }, 'mello', 'no crontab runs backup-cron'],
    [{ crontab: '# 5 * * * * tsx scripts/backup-cron.ts' }, 'mello', 'no crontab runs backup-cron'],
    [
      { mountinfo: nfs(), crontab: '5 * * * * tsx scripts/backup-verda.ts' },
      'mello',
      'the crontab runs backup-verda',
    ],
    [{}, 'mello', 'if this is Verda: comfyume-backup doctor --on verda'],
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
    ['', { SFS_REQUIRE_MOUNT: '0' }, 'ok /mnt/sfs is not a mount point, and need not be one'],
    [nfs(), { SFS_MOUNT_OPTIONS: 'defaults,hard,nofail,_netdev,nfsvers=4,nconnect=16' }, 'ok nfs'],
    [
      nfs(),
      { SFS_MOUNT_OPTIONS: 'hard,noatime,nconnect=8' },
      'warning nfs.fin-01:/prod-1a2b at /mnt/sfs, nfs4, is mounted without noatime, nconnect=8',
    ],
  ])('%j with %j', (mountinfo, env, expected) => {
    const findings = [judgeMount(mountinfo, readSettings(env))]
      .flat()
      .map(({ status, what }) => `${status} ${what}`)
    expect(findings).toHaveLength(1)
    expect(findings[0]).toMatch(new RegExp(`^${expected.replace(/[.()/]/g, '\\$&')}`))
  })

  test('a share that is missing is told with what to mount', () => {
    const [finding] = [judgeMount('', readSettings({ SFS_PROD: 'nfs.fin-01:/prod' }))].flat()
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
  ['', {}, 'warning has no entry for /mnt/sfs: after a restart the share is missing'],
  ['# a:/b /mnt/sfs nfs hard 0 0', {}, 'warning has no entry for /mnt/sfs'],
  ['a:/b /mnt/sfs nfs hard,noauto 0 0', {}, 'warning has an entry for /mnt/sfs with noauto: after a restart'],
  [
    'a:/b /mnt/sfs nfs hard 0 0',
    { SFS_PROD: 'c:/d' },
    'warning mounts a:/b at /mnt/sfs, which is neither SFS_PROD nor SFS_CLONE (c:/d)',
  ],
  ['a:/b /mnt/sfs nfs hard 0 0', { SFS_PROD: 'c:/d', SFS_CLONE: 'a:/b' }, 'ok has an entry for /mnt/sfs'],
  ['a:/b\t/mnt/sfs\tnfs\thard 0 0', {}, 'ok has an entry for /mnt/sfs'],
  ['', { SFS_REQUIRE_MOUNT: '0' }, 'ok no mount is required'],
])('the fstab %j with %j', (fstab, env, expected) => {
  const { status, what } = judgeFstab(fstab, readSettings(env))
  expect(`${status} ${what}`.startsWith(expected)).toBe(true)
})

test.each([
  ['Etc/UTC', '+0000', 'yes', ['ok']],
  ['UTC', '+0000', undefined, ['ok', 'warning']],
  ['', '+0000', undefined, ['ok', 'warning']],
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
    'perl',
    'awk',
    'sed',
    'stat',
    'mktemp',
    'flock',
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
    without(...gone).flatMap(({ status, name, what }) =>
      status === 'ok' ? [] : [`${status} ${name}: ${what}`],
    )

  test('nothing is wrong where all are there', () => expect(odd()).toEqual([]))
  test.each([
    [['tar'], ['wrong tar: is missing: nothing can be packed']],
    [['sha256sum'], ['wrong sha256sum: is missing: no record can be checked']],
    [['perl'], ['wrong perl: is missing: models, credentials and open databases cannot be read']],
    [['awk', 'od'], ['wrong others: awk, od not found']],
    [['igzip', 'pigz', 'gzip'], ['wrong compressor: is missing: nothing can be packed']],
  ])('without %j', (gone, lines) => expect(odd(...gone)).toEqual(lines))

  test.each([
    ['v20.19.1\nlibc.so.6\nlibstdc++.so.6', 'ok', 'is v20.19.1 and needs no library'],
    ['v12.22.9\nlibc.so.6', 'wrong', 'is v12.22.9, which is too old'],
    ['v22.1.0', 'warning', 'is v22.1.0; ldd does not say what it needs'],
    ['v22.1.0\nlibnode.so.115\nlibc.so.6', 'wrong', 'needs libnode.so.115'],
    ['', 'wrong', 'does not run'],
  ])('of the runtime in the archive: %j is %s', (said, status, what) => {
    const found = judgeRuntime('/x', said)
    expect([found.status, found.what]).toEqual([status, expect.stringContaining(`/x/bin/node ${what}`)])
  })

  test.each([
    [[], 'igzip is used'],
    [['igzip'], 'pigz is used; igzip (apt-get install isal) is several times as fast'],
    [['igzip', 'pigz'], 'gzip is used; igzip (apt-get install isal) is several times as fast'],
  ])('the compressor without %j', (gone, found) => {
    expect(without(...gone).find(({ name }) => name === 'compressor')?.what).toBe(found)
  })

  test.each([
    ['20.19.0', true],
    ['20.18.9', false],
    ['22.0.0', true],
    ['18.20.1', false],
  ])('node %s', (version, expected) => expect(isAtLeast(version, [20, 19])).toBe(expected))
})

describe('an error', () => {
  test.each([
    [
      new HostError('verda: it is unreachable. Is it up?\nssh said: timed out'),
      'verda: it is unreachable. Is it up?\nssh said: timed out',
    ],
    [new StoreError('r2 bucket b: could not list: 404'), 'r2 bucket b: could not list: 404'],
    [new CaptureError('there is no image x on verda'), 'there is no image x on verda'],
  ])('of a host, a store or a capture is the finding: %s', (error, found) => {
    expect(errorFinding(error, 'fix it')).toEqual({ status: 'wrong', what: found, todo: 'fix it' })
  })

  test('of a check that had nothing to look at says so, as data', () => {
    expect(errorFinding(new NotChecked('r2 is away', 'fix r2'), 'fix it')).toEqual({
      status: 'warning',
      what: 'not checked: r2 is away',
      todo: 'fix r2',
      unchecked: true,
    })
  })

  test('that is a bug says so', () => {
    expect(errorFinding(new TypeError('x is not a function'), 'fix it')).toMatchObject({
      status: 'wrong',
      what: expect.stringContaining('the check itself failed: TypeError: x is not a function'),
      todo: expect.stringContaining('this is a bug in the toolkit'),
    })
  })
})
