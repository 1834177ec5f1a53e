import { readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../lib/doctor/show.ts'
import { buildClinic, type Clinic } from './clinic.ts'

let clinic: Clinic
beforeEach(async () => {
  clinic = await buildClinic()
  clinic.crontab(clinic.ownCrontab('verda'))
  for (const name of ['ENDPOINT', 'ACCESS_KEY_ID', 'SECRET_ACCESS_KEY']) clinic.settings[`R2_${name}`] = ''
})
afterEach(() => clinic.dispose())

const found = (env: Record<string, string> = {}) => clinic.complaints('verda', env)

it('finds nothing wrong where nothing is, and asks no object store', async () => {
  const { code, stdout, stderr } = await clinic.doctor()
  expect(stderr).toBe('')
  expect(stdout.split('\n').filter((line) => !line.startsWith('ok '))).toEqual([
    expect.stringMatching(/^OK doctor on verda: \d+ ok, 0 warnings, 0 wrong$/),
    '',
  ])
  expect(stdout).toContain('ok       settings machine: verda, because the crontab runs backup-cron\n')
  expect(code).toBe(0)
  expect(clinic.workshop.r2.log).toEqual([])
})

it('with --quiet says nothing at all then', async () => {
  expect(await clinic.doctor(['--quiet'])).toMatchObject({ code: 0, stdout: '', stderr: '' })
})

it('a share that is not mounted', async () => {
  const share = clinic.workshop.verda.sfs
  expect(await found({ SFS_REQUIRE_MOUNT: '1' })).toEqual({
    code: 1,
    lines: [
      `wrong mounts SFS: nothing is mounted at ${share}`,
      `warning mounts fstab: has no entry for ${share}: after a restart the share is missing`,
      `wrong stores sfs: ${share} is not a mount point, so ${share}/cache would be this machine's own disk. Mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
    ],
  })
  clinic.workshop.verda.write('etc/fstab', `# the share\nnfs.example:/prod-1 ${share} nfs hard 0 0\n`)
  const { lines } = await found({ SFS_REQUIRE_MOUNT: '1' })
  expect(lines.filter((line) => line.includes('fstab'))).toEqual([])
})

it('keys of object stores, which Verda does not need', async () => {
  const { r2 } = clinic.workshop
  const keys = {
    R2_ENDPOINT: r2.endpoint,
    R2_ACCESS_KEY_ID: r2.accessKeyId,
    R2_SECRET_ACCESS_KEY: r2.secretAccessKey,
  }
  const { code, lines } = await found(keys)
  expect(code).toBe(0)
  expect(lines).toEqual([
    'warning settings keys: this toolkit has keys of object stores on Verda, whose backups need none',
    expect.stringContaining('warning stores r2 deletion'),
  ])
})

it("Mello's crontab", async () => {
  clinic.crontab(clinic.ownCrontab('mello'))
  const { code, lines } = await found()
  expect(code).toBe(1)
  expect(lines).toEqual([
    expect.stringMatching(
      /^wrong cron backup-cron: is not installed: no line backs up tailscale, .*, env to sfs$/,
    ),
    'wrong cron backup-cron --only home-dev,root-home,scripts: is not installed: no line backs up home-dev, root-home, scripts to sfs',
    expect.stringMatching(/^wrong cron backup-cron --only containers: is not installed/),
  ])
})

it('no container engine', async () => {
  const { code, lines } = await found({ CONTAINER_ENGINE: '/nowhere/docker' })
  expect(code).toBe(1)
  expect(lines).toEqual([
    'wrong tools container engine: /nowhere/docker not found on verda: images cannot be saved',
    ...['frontend', 'worker', 'queue-manager', 'nginx', 'admin'].map(
      (name) =>
        `wrong sources comfyume-${name}: verda has neither docker nor podman (CONTAINER_ENGINE is /nowhere/docker)`,
    ),
  ])
})

it('a share in the place of which lies a file', async () => {
  clinic.workshop.verda.put('../cache-file', '')
  const cache = `${clinic.workshop.verda.sfs}/cache-file`
  const { code, lines } = await found({ SFS_CACHE: cache })
  expect(code).toBe(1)
  expect(lines).toEqual([
    expect.stringMatching(/^wrong stores sfs: .*cache-file cannot be written to: mkdir: /),
  ])
})

describe('the command', () => {
  it.each([
    [['--on', 'mars'], '--on takes verda or mello; it was given "mars"'],
    [
      ['--only', 'stores,disks'],
      '--only: disks: not known here; the groups are settings, tools, hosts, mounts',
    ],
    [['--only', ','], '--only is empty; the groups are'],
    [['--fix'], '--fix is not known. Known are --on HOST, --only a,b'],
  ])('refuses %j', async (args, words) => {
    const { code, stdout, stderr } = await clinic.doctor(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(words)
    expect(stderr).toContain('doctor --help explains them')
  })

  it('--help explains all of it', async () => {
    const { code, stdout } = await clinic.doctor(['--help'])
    expect(code).toBe(0)
    for (const flag of ['--on', '--only', '--dry-run', '--json', '--quiet'])
      expect(stdout).toContain(`  ${flag}`)
    expect(stdout).toMatch(/Exit codes\n {2}0 .*\n {2}1 .*\n {2}2 /)
  })

  it('--dry-run lists the checks and looks at nothing', async () => {
    clinic.command('pgrep', `touch ${clinic.folder}/looked`)
    const { code, stdout } = await clinic.doctor(['--dry-run', '--on', 'mello'])
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^doctor on mello, because --on says so, would look at this:\n {2}settings machine +which/,
    )
    expect(stdout).toMatch(
      /\n {2}sources user-data +Workflows, inputs, user data and custom nodes, on mello\n/,
    )
    expect(stdout).toMatch(/\n {2}stores mello +that MELLO_BACKUPS can be written to/)
    expect(clinic.service.pings).toEqual([])
    const listed = JSON.parse((await clinic.doctor(['--dry-run', '--json'])).stdout)
    expect(listed).toMatchObject({ command: 'doctor', host: 'verda' })
    expect(listed.checks).toContainEqual({ group: 'cron', name: 'daemon', what: 'that cron runs' })
  })

  it('--only looks at those groups alone', async () => {
    const { stdout } = await clinic.doctor(['--only', 'ping,cron', '--json'])
    const { checks }: DoctorReport = JSON.parse(stdout)
    expect([...new Set(checks.map(({ group }) => group))]).toEqual(['cron', 'ping'])
  })

  it('but wrong settings are told whatever is asked for', async () => {
    const { code, stdout } = await clinic.doctor(['--only', 'ping', '--quiet'], { ENVIRONMENT: 'prod' })
    expect(code).toBe(2)
    expect(stdout).toMatch(
      /^WRONG {4}settings ENVIRONMENT: must be one of .*\n {9}-> .*\nWRONG doctor on verda: /,
    )
  })

  it('--json is one report, with what to do under all that is not ok', async () => {
    clinic.zone('Asia/Tokyo')
    const { code, stdout, stderr } = await clinic.doctor(['--json'])
    expect(stderr).toBe('')
    const report: DoctorReport = JSON.parse(stdout)
    expect(report).toMatchObject({ command: 'doctor', host: 'verda', ok: false })
    expect(Date.parse(report.startedAt)).toBeLessThanOrEqual(Date.parse(report.finishedAt))
    expect(report.checks).toContainEqual(
      expect.objectContaining({
        group: 'clock',
        name: 'time zone',
        status: 'wrong',
        found: 'is Asia/Tokyo: cron uses it, and every schedule here is in UTC',
        todo: 'timedatectl set-timezone UTC, then systemctl restart cron',
      }),
    )
    for (const check of report.checks) expect(check.todo === undefined).toBe(check.status === 'ok')
    expect(code).toBe(1)
  })

  it('is told in the order of the groups, whatever takes longest', async () => {
    clinic.command('pgrep', 'sleep 1')
    const { stdout } = await clinic.doctor(['--json'])
    const { checks }: DoctorReport = JSON.parse(stdout)
    expect([...new Set(checks.map(({ group }) => group))]).toEqual([
      'settings',
      'tools',
      'hosts',
      'mounts',
      'clock',
      'cron',
      'sources',
      'stores',
      'ping',
    ])
  })
})

describe('the runtime that is backed up with the toolkit', () => {
  const node = () => path.join(clinic.workshop.verda.root, 'opt/comfyume-backup/bin/node')
  // The clinic's copy may share its bytes with the Node that runs this.
  const replaceNode = (content: string | Buffer) => {
    rmSync(node())
    writeFileSync(node(), content, { mode: 0o755 })
  }

  it.each<[string, () => void, RegExp]>([
    ['is not there', () => rmSync(node()), /bin\/node is missing/],
    [
      'is a script of a version manager',
      () => replaceNode('#!/bin/sh\nexec node "$@"\n'),
      /is not a program but a script or a link/,
    ],
    [
      'is a link to elsewhere',
      () => {
        rmSync(node())
        symlinkSync(process.execPath, node())
      },
      /is not a program but a script or a link/,
    ],
    ['does not run', () => replaceNode(readFileSync(process.execPath).subarray(0, 5000)), /does not run/],
  ])('%s', async (_, spoil, complaint) => {
    spoil()
    const { code, lines } = await clinic.complaints('verda')
    expect(lines.filter((line) => line.includes('tools runtime')).join()).toMatch(complaint)
    expect(code).toBe(1)
  })
})
