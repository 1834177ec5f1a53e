import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DoctorReport, Result } from '../../lib/doctor/show.ts'
import { closedPort } from '../scripts/clinic.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { breachesIn, isCommit } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  layUserFiles,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

const project = path.resolve(import.meta.dirname, '../..')

let machines: TwoMachines
let servers: RealS3[]
let cron: ReturnType<typeof spawn> | undefined
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  servers = (await Promise.all(
    ['MinIO', 'VersityGW'].map((name) => realS3Servers[name]?.(bucketNames)),
  )) as RealS3[]
  const [r2, hetzner] = servers as [RealS3, RealS3]
  env = {
    ...layUserFiles(machines),
    ...storeSettings('R2', r2),
    ...storeSettings('HETZNER', hetzner),
    BACKUP_NOW: '',
    SFS_REQUIRE_MOUNT: '0',
  }
  machines.verda.write('mnt/sfs/models/checkpoints/base.safetensors', 'model')
  cron = isCronRunning() ? undefined : spawn('cron', ['-f'], { stdio: 'ignore' })
})

afterAll(async () => {
  cron?.kill()
  spawnSync('crontab', ['-u', machines.operator.name, '-r'])
  for (const server of servers) await server.close()
  await machines.dispose()
})

/** Runs as a user without rights, as on Mello. */
async function doctor(args: string[] = [], more: Record<string, string> = {}) {
  const { code, report, log } = await machines.run('doctor', args, { ...env, ...more })
  expect(log).toBe('')
  const { checks, host } = report as unknown as DoctorReport
  const named = (name: string) => checks.find((check) => `${check.group} ${check.name}` === name) as Result
  const wrong = checks
    .filter(({ status }) => status === 'wrong')
    .map(({ group, name, what }) => `${group} ${name}: ${what}`)
  return { code, checks, host, named, wrong }
}

function isCronRunning(): boolean {
  try {
    execFileSync('pgrep', ['-x', 'cron'])
    return true
  } catch {
    return false
  }
}

function installCrontab(): void {
  const text = readFileSync(path.join(project, 'crontab/mello'), 'utf8')
    .replaceAll('/opt/comfyume-backup/bin', path.dirname(process.execPath))
    .replaceAll('/opt/comfyume-backup', project)
    .replaceAll('/home/dev', machines.operator.home)
  const file = path.join(machines.verda.folder, 'crontab')
  writeFileSync(file, text)
  execFileSync('crontab', ['-u', machines.operator.name, file])
}

test('real cron and a real crontab: what is missing, then what is there, by which this machine is known to be Mello', async () => {
  const before = await doctor(['--on', 'mello', '--only', 'cron'])
  expect(before.wrong).toEqual(['cron crontab: has no line of this toolkit: no backup is made on schedule'])
  expect(before.named('cron crontab').todo).toBe(`crontab ${project}/crontab/mello`)
  installCrontab()
  const after = await doctor(['--only', 'settings,cron'])
  expect(after.wrong).toEqual([])
  expect(after.named('settings machine').what).toBe('mello, because the crontab runs backup-verda')
  expect(after.named('cron daemon').what).toBe('runs')
  expect(after.named('cron crontab').what).toBe('has 4 lines of this toolkit')
})

test('real servers honour all that is relied on, with keys that cannot delete; each probe is written once', async () => {
  for (const run of ['first', 'second']) {
    const { wrong, named } = await doctor(['--only', 'clock,stores'])
    expect(wrong, run).toEqual([])
    for (const store of ['r2', 'hetzner']) {
      for (const name of ['server', ...bucketNames, 'multipart', 'range reads', 'Content-MD5'])
        expect(named(`stores ${store} ${name}`), `${store} ${name}`).toMatchObject({ status: 'ok' })
      expect(named(`clock ${store}`).what).toContain('shows the same')
      expect(named(`stores ${store} deletion`)).toMatchObject({ status: 'warning' })
    }
    expect(named('stores git').what).toContain('can be read')
  }
  for (const server of servers) {
    const log = await server.log()
    expect(breachesIn(log, bucketNames.length)).toEqual([])
    const written = log.filter(isCommit).map(({ key }) => path.basename(key))
    expect(written.filter((key) => key === 'multipart-probe')).toHaveLength(1)
    expect(written).not.toContain('wrong-md5-probe')
  }
})

describe('real ssh', () => {
  test('to a sudo user: commands, tools, clock and sources of Verda', async () => {
    const { named, wrong } = await doctor(['--only', 'hosts,tools,clock,sources', '--on', 'mello'])
    expect(named('hosts verda').what).toMatch(/^ssh verda reaches \S+ in \d\.\d s and is root there$/)
    expect(named('tools verda tar').what).toContain('GNU tar')
    expect(named('clock verda').what).toBe('the clock of Verda shows the same')
    expect(named('sources tailscale').what).toMatch(/^\/var\/lib\/tailscale.* on verda, \d+ bytes$/)
    expect(named('sources scripts')).toMatchObject({ status: 'ok' })
    expect(named('sources models').what).toContain('1 models, 5 bytes')
    expect(wrong.filter((line) => !line.startsWith('sources comfyume-') && !line.includes('engine'))).toEqual(
      [
        `tools runtime: ${machines.verda.root}/opt/comfyume-backup/bin/node is not a program but a script or a link`,
      ],
    )
  })

  test('with a host key that is not known: the key to compare, and nothing of Verda is guessed', async () => {
    machines.addSshHost(
      'stranger',
      `  HostName 127.0.0.1\n  Port ${machines.sshd.port}\n  UserKnownHostsFile /dev/null`,
    )
    const { code, wrong, named, checks } = await doctor(['--only', 'hosts,sources'], {
      VERDA_SSH: 'stranger',
    })
    expect(code).toBe(1)
    expect(wrong).toEqual([expect.stringContaining('ssh said: ')])
    expect(named('hosts verda').what).toContain('ssh-keyscan -t ed25519')
    expect(named('sources tailscale').what).toBe('not checked: verda is unreachable')
    expect(named('sources user-data').status).toBe('ok')
    expect(checks.filter(({ todo }) => todo === undefined).every(({ status }) => status === 'ok')).toBe(true)
  })

  test('with nobody listening', async () => {
    machines.addSshHost('deaf', `  HostName 127.0.0.1\n  Port ${await closedPort()}`)
    const { wrong, named } = await doctor(['--only', 'hosts'], { VERDA_SSH: 'deaf' })
    expect(wrong).toEqual([expect.stringContaining('Connection refused')])
    expect(named('hosts verda').what).toContain('no ssh server is listening')
  })
})

test('files of the users that this user may not read', async () => {
  machines.writeOnMello('home/dev/comfyume-v1/data/outputs/user002/private.png', 'pixels')
  const file = machines.home('mello/home/dev/comfyume-v1/data/outputs/user002/private.png')
  execFileSync('chown', ['root:root', file])
  execFileSync('chmod', ['600', file])
  const { wrong } = await doctor(['--only', 'sources'])
  expect(wrong.filter((line) => !line.startsWith('sources comfyume-'))).toEqual([
    expect.stringMatching(/^sources user-outputs: .*\/outputs\/user002\/private\.png cannot be read/),
  ])
  machines.own(file)
})

test('a real mount: there and not NFS, read-only, gone', async () => {
  const share = path.join(machines.verda.folder, 'share')
  mkdirSync(share)
  const mounted = { SFS_ROOT: share, SFS_REQUIRE_MOUNT: '1' }
  const seen = async () => (await doctor(['--only', 'mounts'], mounted)).named('mounts SFS')
  expect(await seen()).toMatchObject({ status: 'wrong', found: `nothing is mounted at ${share}` })
  execFileSync('mount', ['-t', 'tmpfs', 'backup-test', share])
  try {
    expect(await seen()).toMatchObject({
      status: 'warning',
      found: `backup-test at ${share}, tmpfs, is not NFS: is that the share?`,
    })
    execFileSync('mount', ['-o', 'remount,ro', share])
    expect(await seen()).toMatchObject({
      status: 'wrong',
      found: `backup-test at ${share}, tmpfs, is mounted read-only`,
    })
  } finally {
    execFileSync('umount', [share])
  }
})
