import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Lock, type Locks, takeLocks } from '../../lib/backup/locks.ts'

const taken: Locks[] = []
let scopes = 0
const newScope = () => `locks.test ${process.pid} ${scopes++}`
/** Locks of items in an object store, or in a folder. */
const locksIn = (items: string[], store: string): Lock[] =>
  items.map((item) => ({ item, name: `production-${item}`, store, ...inFolder(store) }))
const inFolder = (store: string) => (store.startsWith('/') ? { folder: { root: store } } : {})
async function take(items: string[], store: string, waitSeconds?: number) {
  const locks = await takeLocks(locksIn(items, store), 'backup-cron', waitSeconds)
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
  const waiting = take(['env'], scope, 100)
  await wait(300)
  await first.release()
  expect((await waiting).held.size).toBe(1)
})

test('exactly one of several that start together gets an item', async () => {
  const scope = newScope()
  const all = await Promise.all(Array.from({ length: 6 }, () => take(['env'], scope)))
  expect(all.filter(({ held }) => held.has('env'))).toHaveLength(1)
})

test('a killed process leaves no lock behind', async () => {
  const scope = newScope()
  const module = new URL('../../lib/backup/locks.ts', import.meta.url).href
  const code = `const { takeLocks } = await import('${module}')
    await takeLocks(${JSON.stringify(locksIn(['env'], scope))}, 'backup-cron'); console.log('held'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  expect((await take(['env'], scope)).busy.get('env')).toContain(`pid ${child.pid} `)
  child.kill('SIGKILL')
  await vi.waitFor(async () => expect((await take(['env'], scope)).held.size).toBe(1), { timeout: 60_000 })
})

test('a process that releases its locks lives until it has', () => {
  const module = JSON.stringify(path.resolve(import.meta.dirname, '../../lib/backup/locks.ts'))
  const program = `import { takeLocks } from ${module}
    for (let i = 0; i < 20; i++) await (await takeLocks(${JSON.stringify(locksIn(['env'], newScope()))}, 'test')).release()
    process.exit(7)`
  const words = ['--import', 'tsx', '--input-type=module', '-e', program]
  expect(spawnSync(process.execPath, words, { encoding: 'utf8' })).toMatchObject({ status: 7, stderr: '' })
})

const module = new URL('../../lib/backup/locks.ts', import.meta.url).href

/** Takes the locks in a process of its own, begun by `begin`; ends with `warnings` and `busy` as JSON. */
function takenBy(begin: string[], locks: Lock[], env: NodeJS.ProcessEnv = {}) {
  const program = `import { takeLocks } from '${module}'
    const { warnings, busy, release } = await takeLocks(${JSON.stringify(locks)}, 'backup-cron')
    await release()
    console.log(JSON.stringify({ warnings, busy: [...busy.values()] }))`
  const [command, ...words] = [
    ...begin,
    ...[process.execPath, '--import', 'tsx', '--input-type=module', '-e', program],
  ] as [string, ...string[]]
  const run = spawnSync(command, words, { env: { PATH: process.env.PATH, ...env }, encoding: 'utf8' })
  expect(run).toMatchObject({ status: 0, stderr: '' })
  return JSON.parse(run.stdout) as { warnings: string[]; busy: string[] }
}
const asUser = (uid: number) => ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
const isRoot = process.getuid?.() === 0

describe('in a store of folders', () => {
  let folder: string
  let store: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'locks-'))
    store = path.join(folder, 'cache')
    chmodSync(folder, 0o755)
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  const file = () => path.join(store, '.locks/production-env')

  test('the lock is a file of the store, for its owner alone, that names the holder', async () => {
    const locks = await take(['env'], store)
    expect(locks.warnings).toEqual([])
    expect(readFileSync(file(), 'utf8')).toMatch(
      new RegExp(`^${process.pid}@${hostname()} backup-cron 20\\d\\d-.*Z\\n$`),
    )
    expect([path.dirname(file()), file()].map((one) => statSync(one).mode & 0o777)).toEqual([0o700, 0o600])
    expect((await take(['env'], store)).elsewhere.size).toBe(0)
  })

  test('it holds whatever the path by which the store is reached', async () => {
    await take(['env'], store)
    symlinkSync(store, path.join(folder, 'mnt'))
    expect((await take(['env'], path.join(folder, 'mnt'))).busy.get('env')).toContain(`pid ${process.pid} (`)
  })

  test('of what is busy in one store nothing is held in another', async () => {
    await take(['env'], store)
    const other = path.join(folder, 'backups')
    const both = await takeLocks([...locksIn(['env', 'ufw'], other), ...locksIn(['env', 'ufw'], store)], 'x')
    taken.push(both)
    expect([both.held, [...both.busy.keys()]]).toEqual([new Set(['ufw']), ['env']])
    await vi.waitFor(async () => expect((await take(['env', 'ufw'], other)).held).toEqual(new Set(['env'])))
  })

  test('no lock is made where the share is not mounted, nor a store by a restore', async () => {
    const [lock] = locksIn(['env'], store) as [Lock]
    const unmounted = { ...lock, folder: { root: store, mount: folder } }
    for (const locks of [await takeLocks([unmounted], 'backup-cron'), await takeLocks([lock], 'restore')]) {
      taken.push(locks)
      expect(locks.held.size + locks.busy.size).toBe(1)
    }
    expect(readdirSync(folder)).toEqual([])
  })

  test('a link in the place of a lock or of its folder is not followed', async () => {
    const target = path.join(folder, 'target')
    const untouched = () => expect([existsSync(target), readdirSync(folder).sort()]).toEqual([false, kept])
    mkdirSync(path.dirname(file()), { recursive: true })
    const kept = readdirSync(folder).sort()
    for (const to of [target, '/etc/hostname']) {
      symlinkSync(to, file())
      const locks = await take(['env'], store)
      expect([locks.held.size, locks.warnings]).toEqual([
        1,
        [expect.stringContaining(`no lock in ${store}/.locks`)],
      ])
      await locks.release()
      untouched()
      rmSync(file())
    }
    rmSync(path.dirname(file()), { recursive: true })
    symlinkSync('/etc', path.dirname(file()))
    expect((await take(['env'], store)).warnings.join()).toContain("is not a folder of this user's own")
    expect(existsSync('/etc/production-env')).toBe(false)
  })

  test.runIf(isRoot)(
    'two users who may both write there are kept apart, one who may not is no hindrance',
    async () => {
      const env = { TMPDIR: path.join(folder, 'tmp') }
      for (const open of [store, env.TMPDIR]) {
        mkdirSync(open)
        chmodSync(open, 0o777)
      }
      await take(['env'], store)
      expect(takenBy(asUser(54_321), locksIn(['env'], store), env)).toEqual({
        warnings: [],
        busy: [expect.stringContaining(`pid ${process.pid} (`)],
      })
      rmSync(path.dirname(file()), { recursive: true })
      chmodSync(store, 0o755)
      await take(['env'], store)
      expect(takenBy(asUser(54_321), locksIn(['env'], store), env)).toEqual({
        warnings: [expect.stringMatching(/no lock in .*\.locks, .*Permission denied/)],
        busy: [],
      })
    },
  )

  test.runIf(isRoot)('a holder on another machine is named with it', async () => {
    await take(['env'], store)
    const elsewhere = ['unshare', '--uts', 'sh', '-c', 'hostname other.machine && exec "$@"', 'sh']
    expect(takenBy(elsewhere, locksIn(['env'], store)).busy).toEqual([
      expect.stringContaining(`pid ${process.pid} on ${hostname()} (backup-cron since 20`),
    ])
  })
})

test.runIf(isRoot)(
  'a folder of this machine that cannot hold locks is told, and the next one is taken',
  () => {
    const uid = 54_321
    const folder = mkdtempSync(path.join(tmpdir(), 'locks-'))
    // Another user's machine: what everybody may write to is this test's alone.
    const own = (place: string) => [
      ...['unshare', '--mount', 'sh', '-c'],
      `mount -t tmpfs -o mode=1777,nr_inodes=2 tmpfs /run/lock && mount -t tmpfs -o nr_inodes=1 tmpfs /var/tmp && ${place} && exec "$@"`,
      ...['sh', ...asUser(uid)],
    ]
    chmodSync(folder, 0o777)
    const place = `/run/lock/comfyume-backup-${uid}`
    try {
      for (const [plant, why] of [
        [`mkdir ${place}`, `${place} is not a folder of this user's own: remove it`],
        [`ln -s ${folder} ${place}`, `${place} is not a folder of this user's own: remove it`],
        ['touch /run/lock/full', 'No space left on device'],
      ] as const) {
        const { warnings, busy } = takenBy(own(plant), locksIn(['env'], 'x'), {
          TMPDIR: folder,
          HOME: folder,
        })
        expect([warnings, busy]).toEqual([[expect.stringMatching(`^no lock in ${place}: .*${why}`)], []])
      }
      expect(readdirSync(path.join(folder, `comfyume-backup-${uid}`))).toHaveLength(1)
      chmodSync(folder, 0o555)
      rmSync(path.join(folder, `comfyume-backup-${uid}`), { recursive: true })
      const nowhere = takenBy(own('touch /run/lock/full'), locksIn(['env'], 'x'), {
        TMPDIR: folder,
        HOME: folder,
      })
      expect([nowhere.warnings.at(-1), nowhere.busy]).toEqual(['env: not locked', []])
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)

test.runIf(isRoot)('a share that hangs is given up, and its lock is one of this machine', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locks-'))
  mkdirSync(path.join(folder, '.locks'))
  // Opening it waits for a writer, for ever.
  spawnSync('mkfifo', [path.join(folder, '.locks/production-env')])
  const locks = await take(['env'], folder)
  expect([locks.held.size, locks.warnings.join()]).toEqual([1, expect.stringContaining('no answer for 10 s')])
  await locks.release()
  rmSync(folder, { recursive: true })
})
