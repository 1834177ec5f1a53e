import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, expect, test, vi } from 'vitest'
import { type Locks, takeLocks } from '../lib/locks.ts'

const taken: Locks[] = []
let scopes = 0
const newScope = () => `locks.test ${process.pid} ${scopes++}`
async function take(items: string[], scope: string, waitSeconds?: number) {
  const locks = await takeLocks(items, scope, 'backup-cron', waitSeconds)
  taken.push(locks)
  return locks
}
afterEach(async () => {
  for (const locks of taken.splice(0)) await locks.release()
})

test('the first holds its items; a second is told which process does', async () => {
  const scope = newScope()
  expect((await take(['env', 'ufw'], scope)).held).toEqual(new Set(['env', 'ufw']))
  const second = await take(['env', 'nginx', 'ufw'], scope)
  expect(second.held).toEqual(new Set(['nginx']))
  expect([...second.busy.keys()]).toEqual(['env', 'ufw'])
  expect(second.busy.get('env')).toMatch(
    new RegExp(`^pid ${process.pid} \\(backup-cron since 20\\d\\d-.*Z\\)$`),
  )
})

test('what is released can be taken again; releasing twice does no harm', async () => {
  const scope = newScope()
  const first = await take(['env'], scope)
  await first.release()
  await first.release()
  expect((await take(['env'], scope)).held.size).toBe(1)
})

test('runs to other places do not disturb each other', async () => {
  await take(['env'], newScope())
  expect((await take(['env'], newScope())).held.size).toBe(1)
})

test('no items are no wait', async () => {
  const locks = await take([], newScope())
  expect(locks).toMatchObject({ held: new Set(), busy: new Map() })
})

test('waiting takes what is released in time, and gives up in time', async () => {
  const scope = newScope()
  const first = await take(['env'], scope)
  const began = Date.now()
  expect((await take(['env'], scope, 1)).busy.size).toBe(1)
  expect(Date.now() - began).toBeGreaterThan(800)
  const waiting = take(['env'], scope, 20)
  await wait(300)
  await first.release()
  expect((await waiting).held.size).toBe(1)
  expect(Date.now() - began).toBeLessThan(15_000)
})

test('exactly one of several that start together gets an item', async () => {
  const scope = newScope()
  const all = await Promise.all(Array.from({ length: 6 }, () => take(['env'], scope)))
  expect(all.filter(({ held }) => held.has('env'))).toHaveLength(1)
})

test('a killed process leaves no lock behind', async () => {
  const scope = newScope()
  const module = new URL('../lib/locks.ts', import.meta.url).href
  const code = `const { takeLocks } = await import('${module}')
    await takeLocks(['env'], ${JSON.stringify(scope)}, 'backup-cron'); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  expect((await take(['env'], scope)).busy.get('env')).toContain(`pid ${child.pid} `)
  child.kill('SIGKILL')
  await vi.waitFor(async () => expect((await take(['env'], scope)).held.size).toBe(1), { timeout: 5000 })
})

test.runIf(process.getuid?.() === 0)(
  'a folder of locks that somebody else made, or a link in its place, is not used',
  () => {
    const uid = 54_321
    const folder = mkdtempSync(path.join(tmpdir(), 'locks-'))
    const forAll = ((statSync('/run/lock', { throwIfNoEntry: false })?.mode ?? 0) & 0o002) !== 0
    const place = path.join(forAll ? '/run/lock' : folder, `comfyume-backup-${uid}`)
    chmodSync(folder, 0o777)
    mkdirSync(path.join(folder, 'elsewhere'), { mode: 0o777 })
    const take = () => {
      const module = JSON.stringify(path.resolve(import.meta.dirname, '../lib/locks.ts'))
      const program = `import { takeLocks } from ${module}; await takeLocks(['env'], 'scope', 'test'); process.exit()`
      const words = ['--import', 'tsx', '--input-type=module', '-e', program]
      const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
      const env = { PATH: process.env.PATH, TMPDIR: folder, HOME: folder }
      return spawnSync('setpriv', [...user, process.execPath, ...words], { env, encoding: 'utf8' })
    }
    try {
      for (const plant of [
        () => mkdirSync(place, { mode: 0o777 }),
        () => symlinkSync(path.join(folder, 'elsewhere'), place),
      ]) {
        plant()
        const { status, stderr } = take()
        expect(stderr).toContain(`${place} is not a folder of this user's own: remove it`)
        expect(status).toBe(1)
        rmSync(place, { recursive: true })
      }
      expect(take()).toMatchObject({ status: 0, stderr: '' })
      expect(readdirSync(path.join(folder, 'elsewhere'))).toEqual([])
    } finally {
      rmSync(place, { recursive: true, force: true })
      rmSync(folder, { recursive: true })
    }
  },
)
