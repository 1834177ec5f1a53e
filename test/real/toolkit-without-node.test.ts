import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildVerda, type Verda } from '../scripts/verda.ts'
import { type BareMachine, bareMachine, type MachineRun } from '../servers/bare-machine.ts'
import { packToolkit, toolkitFolder } from './toolkit.ts'

let verda: Verda
let machine: BareMachine
let archive: string
let unpacked: MachineRun

beforeAll(async () => {
  verda = buildVerda()
  const { key, bytes } = await packToolkit(verda)
  console.log(`the archive of the toolkit has ${(bytes / 1e6).toFixed(1)} MB`)
  archive = `/mnt/sfs/cache/${key}`
  machine = await bareMachine()
  machine.mount(verda.sfs, '/mnt/sfs')
  unpacked = await machine.run(`tar -xpzf ${archive} -C /`)
})

afterAll(async () => {
  await machine?.dispose()
  verda?.dispose()
})

/** As an operator types it, and as cron runs it. */
const toolkit = (command: string, options?: Parameters<BareMachine['run']>[1]) =>
  machine.run(
    `PATH=${toolkitFolder}/bin:$PATH ${toolkitFolder}/node_modules/.bin/tsx ${toolkitFolder}/scripts/${command}`,
    options,
  )

test('the machine has no Node and no network of its own', async () => {
  expect((await machine.run('command -v node npm npx tsx')).stdout).toBe('')
  expect(await machine.do('ip route show table all type unicast')).toBe('')
})

test('its archive fits its record, and tar unpacks it without a word', async () => {
  await machine.do(`cd /mnt/sfs/cache && sha256sum -c --strict ${path.basename(archive)}.sha256`)
  expect(unpacked).toEqual({ code: 0, stdout: '', stderr: '' })
})

test('the archive gives back every file as it was: kind, mode, size, time, link', async () => {
  const list = `find . -name .git -prune -o -path './node_modules/.cache' -prune -o -printf '%P %y %m %U:%G %T@ %l ' -type f -printf '%s' -o -printf '\\n' | sort`
  const before = execFileSync('bash', ['-c', list], {
    cwd: path.join(verda.root, toolkitFolder),
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  })
  expect(before).toContain('node_modules/.bin/tsx l')
  expect(await machine.do(list, { cwd: toolkitFolder })).toBe(before)
  const { stdout } = await machine.run(`stat -c '%a' ${toolkitFolder}/.env`)
  expect(stdout).toBe('600\n')
})

test('every library that the Node in bin is linked to is there', async () => {
  expect(await machine.do(`ldd ${toolkitFolder}/bin/node`)).not.toContain('not found')
})

test.each(['backup-cron', 'backup-verda', 'backup-mello'])(
  '%s --help runs from the archive alone',
  async (name) => {
    const { code, stdout, stderr } = await toolkit(`${name}.ts --help`)
    expect(stderr).toBe('')
    expect(stdout).toContain(name)
    expect(code).toBe(0)
  },
)

test('backup-cron --dry-run shows its plan', async () => {
  const { code, stdout, stderr } = await toolkit('backup-cron.ts --dry-run')
  // A bare machine lacks some sources.
  expect(code, stderr).toBeLessThan(2)
  expect(stdout + stderr).toContain('/etc/ssh/ssh_host_*')
})

test('it makes a backup of the bare machine, in which the toolkit itself is unchanged but for its place', async () => {
  mkdirSync(path.join(verda.folder, 'another/cache'), { recursive: true })
  machine.mount(path.join(verda.folder, 'another'), '/mnt/another')
  const { code, stdout, stderr } = await toolkit('backup-cron.ts --only ssh-host-keys,scripts --json', {
    env: { SFS_ROOT: '/mnt/another', BACKUP_NOW: '2026-11-25T10:00:00Z' },
  })
  expect(code, stderr).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ ok: true, items: [{ status: 'stored' }, { status: 'stored' }] })
  await machine.do(
    'cd /mnt/another/cache && sha256sum -c --strict scripts-*.sha256 && tar -tzf scripts-*.tar.gz >/dev/null',
  )
})

test('without the share it says so, and backs nothing up into the folder below', async () => {
  machine.unmount('/mnt/sfs')
  try {
    const { code, stdout, stderr } = await toolkit('backup-cron.ts --only ssh-host-keys')
    expect(code).toBe(1)
    expect(stdout + stderr).toMatch(/\/mnt\/sfs is not (a mount point|mounted)/)
    expect(await machine.do('ls -A /mnt/sfs')).toBe('')
  } finally {
    machine.mount(verda.sfs, '/mnt/sfs')
  }
})
