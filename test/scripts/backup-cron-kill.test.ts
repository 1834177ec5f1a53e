import { execFileSync } from 'node:child_process'
import { readFileSync, renameSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { processesOf } from '../hosts/processes.ts'
import { buildVerda, itemOf, reportOf, settle, type Verda } from './verda.ts'

/** Law 3: after a kill nothing incomplete looks complete, no good copy is lost, the next run succeeds. */

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const env = 'home/dev/comfyume-v1/.env'
const preload = path.join(import.meta.dirname, 'kill-at.mjs')

const preloaded = (now: string, more: Record<string, string>) =>
  verda.cron(['--only', 'env'], {
    env: { BACKUP_NOW: now, NODE_OPTIONS: `--import=${preload}`, KILL_BELOW: verda.cache, ...more },
  })

/** A run that dies just before its call number `cut` that changes the share. */
async function cutRun(cut: number, now: string) {
  expect((await preloaded(now, { KILL_AT: String(cut) })).signal, `cut ${cut}`).toBe('SIGKILL')
}

/** The number of such calls in a whole run; leaves the share as it was. */
async function countCalls(now: string): Promise<number> {
  const [count, copy] = [path.join(verda.folder, 'count'), path.join(verda.folder, 'copy')]
  execFileSync('cp', ['-a', verda.sfs, copy])
  expect((await preloaded(now, { KILL_COUNT: count })).code).toBe(0)
  rmSync(verda.sfs, { recursive: true })
  renameSync(copy, verda.sfs)
  return Number(readFileSync(count, 'utf8'))
}

/** Every archive of env with a fitting record, by stamp, with its password. */
const backups = () => {
  const problems = verda.checkByHand()
  return Object.fromEntries(
    verda
      .names()
      .filter((name) => /^env-.*\.tar\.gz\.sha256$/.test(name))
      .filter((name) => !problems.some((problem) => problem.startsWith(name)))
      .map((name) => name.replace(/\.sha256$/, ''))
      .map((name) => [
        name.slice(4, -7),
        verda.contentOf(`config/${name}`, env).trim().replace('PASSWORD=', ''),
      ]),
  )
}

async function expectMended(now: string, password: string) {
  const { code, item, report } = await verda.run({ now })
  expect(code, JSON.stringify(report)).toBe(0)
  expect(['stored', 'unchanged']).toContain(item.status)
  expect(verda.checkByHand()).toEqual([])
  expect(Object.values(backups())).toContain(password)
  const left = verda.names().filter((name) => name.endsWith('.next') || name.endsWith('.partial'))
  expect(left).toEqual([])
}

test('killed at every step of a first backup', async () => {
  const now = '2026-11-24T10:00:00Z'
  const calls = await countCalls(now)
  expect(calls).toBeGreaterThan(6)
  for (let cut = 0; cut < calls; cut++) {
    rmSync(verda.cache, { recursive: true, force: true })
    await cutRun(cut, now)
    for (const password of Object.values(backups())) expect(password).toBe('pa$$word-of-user001')
    expect(verda.checkByHand().filter((problem) => !problem.includes('.next'))).toEqual([])
    await expectMended('2026-11-24T11:00:00Z', 'pa$$word-of-user001')
  }
})

test('killed at every step of replacing the day’s pair, also between its two renames', async () => {
  const states = new Set<string>()
  let calls = 1
  for (let cut = 0; cut < calls; cut++) {
    rmSync(verda.cache, { recursive: true, force: true })
    verda.write(env, 'PASSWORD=yesterday\n')
    settle()
    await verda.run({ now: '2026-11-23T10:00:00Z' })
    verda.write(env, 'PASSWORD=old\n')
    settle()
    await verda.run({ now: '2026-11-24T09:00:00Z' })
    verda.write(env, 'PASSWORD=new\n')
    settle()
    if (cut === 0) calls = await countCalls('2026-11-24T10:00:00Z')
    await cutRun(cut, '2026-11-24T10:00:00Z')
    const found = backups()
    expect(found['2026-11-23'], 'no good copy is lost').toBe('yesterday')
    const held = verda.contentOf('config/env-2026-11-24.tar.gz', env).trim().replace('PASSWORD=', '')
    states.add(`${held}, by its record ${found['2026-11-24'] ?? 'neither'}`)
    await expectMended('2026-11-24T11:00:00Z', 'new')
    expect(backups()).toEqual({ '2026-11-23': 'yesterday', '2026-11-24': 'new' })
  }
  expect(calls).toBeGreaterThan(8)
  expect([...states].sort()).toEqual([
    'new, by its record neither',
    'new, by its record new',
    'old, by its record old',
  ])
})

test('killed at the steps of a new day’s link and of the rotation after it', async () => {
  const now = '2026-11-24T00:00:00Z'
  const put = (days: number[]) => {
    for (const day of days) verda.putBackup('env', `2026-11-0${day}`, `2026-11-0${day}T10:00:00Z`)
  }
  let calls = 1
  for (let cut = 0; cut < calls; cut += 2) {
    rmSync(verda.cache, { recursive: true, force: true })
    put([2, 3])
    await verda.run({ now: '2026-11-23T10:00:00Z' })
    put([2, 3, 4, 5, 6])
    settle()
    await verda.run({ now: '2026-11-23T11:00:00Z' })
    put([2, 3, 4, 5, 6])
    if (cut === 0) calls = await countCalls(now)
    await cutRun(cut, now)
    expect(backups()['2026-11-23'], 'no good copy is lost').toBe('pa$$word-of-user001')

    const { code, report } = await verda.run({ now })
    expect(code, JSON.stringify(report)).toBe(0)
    const archives = verda.names().filter((name) => name.endsWith('.tar.gz'))
    expect(verda.names()).toEqual(archives.flatMap((name) => [name, `${name}.sha256`]).sort())
    expect(Object.keys(backups())).toEqual(['2026-11-23', '2026-11-24'])
  }
  expect(calls).toBeGreaterThan(10)
})

test('killed at any moment of a whole run: no process, no lock, nothing half stays', async () => {
  verda.write(
    'home/dev/large',
    execFileSync('head', ['-c', '20000000', '/dev/urandom'], { maxBuffer: 1 << 25 }),
  )
  for (const [round, delay] of [300, 700, 900, 1100, 1400, 1800].entries()) {
    verda.write(env, `PASSWORD=${round}\n`)
    verda.write('home/dev/notes.txt', `${round}\n`)
    await verda.cron(['--only', 'config'], { killAfter: wait(delay) })
    expect(verda.checkByHand().filter((problem) => !/\.next/.test(problem))).toEqual([])
    expect(verda.names().filter((name) => name.endsWith('.tar.gz')).length).toBeLessThanOrEqual(7)
  }
  const run = await verda.cron(['--only', 'config', '--json'])
  expect(run.code, run.stderr).toBe(0)
  for (const item of ['tailscale', 'env', 'home-dev', 'root-home'])
    expect(['stored', 'unchanged']).toContain(itemOf(reportOf(run), item).status)
  expect(verda.checkByHand()).toEqual([])
  expect(verda.names().filter((name) => /\.(next|partial)$/.test(name))).toEqual([])
  expect(processesOf(verda.folder)).toEqual([])
})
