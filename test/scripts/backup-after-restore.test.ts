import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, expect, it } from 'vitest'
import { readRecord } from '../../lib/record.ts'
import { buildRestorable, type Restorable } from './restorable.ts'
import { itemOf, reportOf, settle } from './verda.ts'

/** On a new machine every file has a new inode and ctime. */

let world: Restorable
afterEach(() => world.dispose())

const later = '2026-11-25T03:00:00Z'

async function restoredMachines() {
  world = await buildRestorable()
  const [verda, mello] = [world.drill(), world.drill()]
  for (const [only, to] of [
    ['config,scripts,containers,models', verda],
    ['user-data', mello],
  ] as const) {
    const run = await world.restore(['--only', only, '--yes', '--root', to])
    expect(run.code, run.stderr).toBe(0)
  }
  settle()
  return { verda, env: { VERDA_ROOT: verda, MELLO_ROOT: mello, BACKUP_NOW: later } }
}

it('sends nothing again that a restore brought back, and reads it once', async () => {
  const { env } = await restoredMachines()
  const before = world.workshop.written().length
  const runs = [
    await world.workshop.backupVerda(['--json'], env),
    await world.workshop.backupMello(['--only', 'user-data', '--json'], env),
    await world.verda.cron(['--only', 'config,scripts,containers', '--json'], { env }),
  ]
  for (const run of runs) {
    const sent = reportOf(run).items.filter(({ status }) => status !== 'unchanged' && status !== 'skipped')
    expect(sent, run.stderr).toEqual([])
  }
  const sent = world.workshop.written().slice(before)
  expect(sent.filter((key) => !key.includes('/runs/'))).toEqual([])
  // The new day on SFS has its own record, with the files' new state.
  const record = readRecord(world.verda.read('config/home-dev-2026-11-25.tar.gz.sha256').toString())
  const old = readRecord(world.verda.read('config/home-dev-2026-11-24.tar.gz.sha256').toString())
  expect(record?.sha256).toBe(old?.sha256)
  expect(record?.fingerprint).not.toBe(old?.fingerprint)
})

it('stores what differs in one byte, though its size and time do not', async () => {
  const { verda, env } = await restoredMachines()
  const file = path.join(verda, 'home/dev/notes.txt')
  const before = path.join(world.verda.folder, 'before')
  execFileSync('cp', ['-p', file, before])
  writeFileSync(file, 'Notes\n')
  execFileSync('touch', ['-r', before, file])
  settle()
  const run = await world.workshop.backupVerda(['--only', 'home-dev,ufw', '--json'], env)
  expect(itemOf(reportOf(run), 'home-dev').stores).toMatchObject({
    r2: { status: 'stored' },
    mello: { status: 'stored' },
  })
  expect(itemOf(reportOf(run), 'ufw').status).toBe('unchanged')
  const [old, news] = ['2026-11-24', '2026-11-25'].map((day) =>
    readRecord(
      readFileSync(path.join(world.workshop.backups, `config/home-dev-${day}.tar.gz.sha256`), 'utf8'),
    ),
  )
  // Only reading the files shows this.
  expect(news?.content).toBe(old?.content)
  expect(news?.tar).not.toBe(old?.tar)
})

it('remembers what it read; what is lost of that is read once more', async () => {
  const { env } = await restoredMachines()
  const backUp = async () => {
    const run = await world.workshop.backupVerda(['--only', 'ufw', '--to', 'mello', '--json'], env)
    return itemOf(reportOf(run), 'ufw').status
  }
  expect(await backUp()).toBe('unchanged')
  const state = path.join(world.verda.folder, 'state/comfyume-backup')
  const [name = ''] = readdirSync(state).filter((one) => one.startsWith('content-ufw-'))
  const file = path.join(state, name)
  rmSync(file)
  expect(await backUp()).toBe('unchanged')
  // A wrong digest shows that the sources are not read again.
  const { fingerprint } = JSON.parse(readFileSync(file, 'utf8'))
  writeFileSync(file, JSON.stringify({ fingerprint, tar: '0'.repeat(64) }))
  expect(await backUp()).toBe('stored')
})
