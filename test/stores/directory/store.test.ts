import { createHash, randomBytes } from 'node:crypto'
import fs, {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { readRecord } from '../../../lib/record.ts'
import { digestPastCache, readPastCache } from '../../../lib/stores/directory/read-back.ts'
import { rotatingDirectoryStore } from '../../../lib/stores/directory/rotating.ts'
import { directoryStore } from '../../../lib/stores/directory/store.ts'
import { KeyExists, type Receipt, type RotatingStore, StoreError } from '../../../lib/stores/store.ts'
import { failing, inPieces, keys, storeContract } from '../contract.ts'

/** Lets a test stand in the way of single calls to the file system; without a hook they are what they are. */
const hooks = vi.hoisted(() => ({
  before: undefined as ((name: string, file: string) => unknown) | undefined,
}))
vi.mock('node:fs/promises', async (original) => {
  const real: Record<string, unknown> = await original()
  const hooked = Object.entries(real).map(([name, call]) => [
    name,
    !['rename', 'link', 'unlink', 'open', 'mkdir'].includes(name)
      ? call
      : async (...args: unknown[]) => {
          await hooks.before?.(name, String(args[0]))
          return (call as (...args: unknown[]) => unknown)(...args)
        },
  ])
  return Object.fromEntries(hooked)
})

let root: string
let store: RotatingStore
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'directory-'))
  store = rotatingDirectoryStore({ name: 'sfs', root })
})
afterEach(async () => {
  hooks.before = undefined
  await expect.poll(openFiles, { timeout: 60_000 }).toEqual([])
  rmSync(root, { recursive: true, force: true })
})

/** What of a store this process has open. */
function openFiles(): string[] {
  return readdirSync('/proc/self/fd')
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`)
      } catch {
        return ''
      }
    })
    .filter((file) => file.startsWith(root) || file.startsWith(path.join(tmpdir(), 'contract-')))
}

for (const [name, make] of [
  ['a directory', directoryStore],
  ['a directory that rotates', rotatingDirectoryStore],
] as const) {
  storeContract(name, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'contract-'))
    return {
      store: make({ name: 'sfs', root: path.join(folder, 'deep/root') }),
      raw: async (key) => readFileSync(path.join(folder, 'deep/root', key)),
      sizes: [1 << 20],
      close: async () => rmSync(folder, { recursive: true }),
    }
  })
}

const at = (key: string) => path.join(root, key)
const put = (key: string, content: string | Buffer) => {
  mkdirSync(path.dirname(at(key)), { recursive: true })
  writeFileSync(at(key), content)
}
const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')
const recordOf = (key: string) => (receipt: Receipt) => `${receipt.sha256}  ${path.basename(key)}\n`
const body = (content: string) => inPieces(Buffer.from(content))
const names = (folder = '') => readdirSync(at(folder)).sort()
const key = 'a-2026-11-24.tar.gz'
/** Law 3: what a reader would take for a backup. Undefined when the record is missing or fits something else. */
function backup(of = key): string | undefined {
  const record = existsSync(at(`${of}.sha256`))
    ? readRecord(readFileSync(at(`${of}.sha256`), 'utf8'))
    : undefined
  const content = existsSync(at(of)) ? readFileSync(at(of), 'utf8') : undefined
  return content !== undefined && record?.sha256 === sha256(content) ? content : undefined
}

describe('pairs', () => {
  test('a new pair is the archive and its record; its key is taken from then on', async () => {
    const receipt = await store.createPair(key, body('first'), recordOf(key))
    expect(receipt).toEqual({ key, bytes: 5, sha256: sha256('first') })
    expect(names()).toEqual([key, `${key}.sha256`])
    await expect(store.createPair(key, body('second'), recordOf(key))).rejects.toThrow(KeyExists)
    expect(backup()).toBe('first')
    expect(names()).toHaveLength(2)
  })

  test('replaced, both are new', async () => {
    await store.createPair(key, body('first'), recordOf(key))
    await store.replace(key, body('second'), recordOf(key))
    expect(backup()).toBe('second')
    expect(names()).toHaveLength(2)
  })

  test('law 6: a body that fails leaves the old pair as it was', async () => {
    await store.createPair(key, body('first'), recordOf(key))
    await expect(store.replace(key, failing(100_000), recordOf(key))).rejects.toThrow('tar died')
    await expect(store.createPair(`b${key}`, failing(100_000), recordOf(key))).rejects.toThrow('tar died')
    expect(backup()).toBe('first')
    expect(names()).toHaveLength(2)
  })

  test('a folder that cannot be made fails at once, and lets go of the body', async () => {
    put('config', 'a file, not a folder')
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(100_000))
      },
    })
    await expect(store.createPair(`config/${key}`, endless, recordOf(key))).rejects.toThrow()
    expect(endless.destroyed).toBe(true)
  })

  test.each(['', '..', 'a/../../b', '/etc/x', 'a//b', './a'])('%j is no key', async (bad) => {
    await expect(store.create(bad, body('x'))).rejects.toThrow(StoreError)
    await expect(store.remove(bad)).rejects.toThrow(StoreError)
  })
})

describe('law 3, cut off at any moment: nothing looks complete and is not, no good copy is lost, mending finishes it', () => {
  class Cut extends Error {}
  /** From the given call on, every call that changes something fails: as if the process were gone. */
  function cutAt(cut: number) {
    let calls = 0
    hooks.before = () => {
      if (calls++ >= cut) throw new Cut()
    }
    return () => calls
  }
  async function eachCut(
    prepare: () => Promise<void>,
    act: () => Promise<unknown>,
    check: (done: boolean) => Promise<void>,
  ) {
    for (let cut = 0; ; cut++) {
      rmSync(root, { recursive: true, force: true })
      mkdirSync(root)
      await prepare()
      const calls = cutAt(cut)
      const error = await act().catch((error) => error)
      hooks.before = undefined
      const done = calls() <= cut
      if (!done) expect(error, `cut ${cut}`).toBeInstanceOf(Error)
      await check(done)
      if (done) return expect(cut).toBeGreaterThan(4)
    }
  }

  test('a new pair', async () => {
    await eachCut(
      async () => {},
      () => store.createPair(key, body('new'), recordOf(key)),
      async () => {
        if (existsSync(at(`${key}.sha256`))) expect(backup()).toBe('new')
        await store.mend(key)
        if (existsSync(at(key))) expect(backup()).toBe('new')
        expect(existsSync(at(`${key}.sha256.next`))).toBe(false)
      },
    )
  })

  test('a replaced pair, also between its two renames', async () => {
    const seen = new Set<string>()
    await eachCut(
      () => store.createPair(key, body('old'), recordOf(key)).then(() => {}),
      () => store.replace(key, body('new'), recordOf(key)),
      async () => {
        seen.add(`${readFileSync(at(key))} ${backup() ?? 'without a fitting record'}`)
        await store.mend(key)
        expect(['old', 'new']).toContain(backup())
        expect(existsSync(at(`${key}.sha256.next`))).toBe(false)
        await store.replace(key, body('newer'), recordOf(key))
        expect(backup()).toBe('newer')
      },
    )
    expect([...seen].sort()).toEqual(['new new', 'new without a fitting record', 'old old'])
  })

  test('a link', async () => {
    const to = 'a-2026-11-25.tar.gz'
    const record = `${sha256('old')}  ${to}\n`
    await eachCut(
      () => store.createPair(key, body('old'), recordOf(key)).then(() => {}),
      () => store.link(key, to, record),
      async () => {
        expect(backup()).toBe('old')
        if (existsSync(at(`${to}.sha256`))) expect(backup(to)).toBe('old')
        await store.mend(to)
        if (existsSync(at(to))) expect(backup(to)).toBe('old')
      },
    )
  })

  test.each([
    ['the new record beside the old archive: the old record stays', 'old', 'old', 'new', 'old'],
    ['the new record beside the new archive: it takes its place', 'new', 'old', 'new', 'new'],
    ['a new record that is torn: the old one stays', 'old', 'old', undefined, 'old'],
    ['the new record alone', undefined, undefined, 'new', undefined],
    ['the new record beside a foreign archive without one', 'foreign', undefined, 'new', undefined],
  ])('mending: %s', async (_, archive, record, next, expected) => {
    if (archive) put(key, archive)
    if (record) put(`${key}.sha256`, `${sha256(record)}  ${key}\n`)
    put(`${key}.sha256.next`, next ? `${sha256(next)}  ${key}\n` : sha256('new').slice(9))
    await store.mend(key)
    expect(backup()).toBe(expected)
    expect(existsSync(at(key))).toBe(archive !== undefined)
    expect(existsSync(at(`${key}.sha256.next`))).toBe(false)
  })

  test('mending where nothing was cut off changes nothing', async () => {
    await store.createPair(key, body('old'), recordOf(key))
    const before = statSync(root).mtimeMs
    await store.mend(key)
    await store.mend('not-there.tar.gz')
    expect(statSync(root).mtimeMs).toBe(before)
  })
})

describe('links', () => {
  const to = 'a-2026-11-25.tar.gz'
  const record = `${sha256('old')}  ${to}\n`
  beforeEach(() => store.createPair(key, body('old'), recordOf(key)))

  test('share the bytes; replacing one leaves the other', async () => {
    await store.link(key, to, record)
    expect(statSync(at(to)).ino).toBe(statSync(at(key)).ino)
    await store.replace(to, body('new'), recordOf(to))
    expect([backup(), backup(to)]).toEqual(['old', 'new'])
    await store.remove(key)
    expect(backup(to)).toBe('new')
  })

  test('never take a name that is taken', async () => {
    put(to, 'foreign')
    await expect(store.link(key, to, record)).rejects.toThrow(KeyExists)
    expect(readFileSync(at(to), 'utf8')).toBe('foreign')
    expect(names()).toEqual([key, `${key}.sha256`, to])
  })

  test.each(['EPERM', 'ENOTSUP', 'EMLINK'])('are copies where links fail with %s', async (code) => {
    hooks.before = (name) => {
      if (name === 'link') throw Object.assign(new Error(code), { code })
    }
    await store.link(key, to, record)
    expect(backup(to)).toBe('old')
    expect(statSync(at(to)).ino).not.toBe(statSync(at(key)).ino)
    await expect(store.createPair(to, body('x'), recordOf(to))).rejects.toThrow(KeyExists)
    expect(backup(to)).toBe('old')
    expect(names()).toHaveLength(4)
  })
})

test('removing takes one key, and one that is not there is no error', async () => {
  put('a/b', 'x')
  put('a/bc', 'y')
  await store.remove('a/b')
  await store.remove('a/b')
  expect(names('a')).toEqual(['bc'])
})

describe('law 4: what is read back from the store is what counts', () => {
  test('a bit that flips on the way is found, and nothing is kept', async () => {
    await store.createPair(key, body('old'), recordOf(key))
    const real = fs.promises
    hooks.before = async (name, file) => {
      // The last moment before the content is read back: the folder is not touched, nothing was renamed.
      if (name !== 'open' || !file.endsWith('.partial')) return
      hooks.before = undefined
      setTimeout(() => flipWhenWritten(file), 0)
    }
    const slow = async function* () {
      yield randomBytes(2_000_000)
      await new Promise((resolve) => setTimeout(resolve, 300))
      yield randomBytes(10)
    }
    async function flipWhenWritten(file: string) {
      while (((await real.stat(file).catch(() => undefined))?.size ?? 0) < 2_000_000)
        await new Promise((r) => setTimeout(r, 5))
      const handle = await real.open(file, 'r+')
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, 50_000)
      await handle.write(Buffer.from([(buffer[0] as number) ^ 1]), 0, 1, 50_000)
      await handle.close()
    }
    await expect(store.replace(key, Readable.from(slow()), recordOf(key))).rejects.toThrow(
      /sfs: a-2026-11-24.tar.gz was written but reads back different/,
    )
    expect(backup()).toBe('old')
    expect(names()).toHaveLength(2)
  })

  test.each([0, 1, 4095, 4096, 65_536, 5_000_001])(
    'the digest of %d bytes is right past the cache',
    async (size) => {
      const content = randomBytes(size)
      put('file', content)
      expect(await digestPastCache(at('file'))).toEqual({ bytes: size, sha256: sha256(content) })
      expect(sha256(await buffer(await store.openPastCache('file')))).toBe(sha256(content))
    },
  )

  test('a file system that cannot read past its cache is read all the same', async () => {
    expect((await buffer(readPastCache('/proc/version'))).toString()).toBe(
      readFileSync('/proc/version', 'utf8'),
    )
  })

  test('what cannot be read past the cache fails, and says why', async () => {
    mkdirSync(at('folder'))
    await expect(store.openPastCache('folder').then(buffer)).rejects.toThrow(/folder.*Is a directory/)
  })
})

describe('partials', () => {
  const startOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19]
  const host = hostname().replace(/[^A-Za-z0-9-]/g, '-')
  const partial = (owner: string) => `config/.${key}.${owner}@1.partial`
  const old = (file: string, days: number) =>
    utimesSync(at(file), Date.now() / 1000 - days * 86400, Date.now() / 1000 - days * 86400)

  test.each<[string, () => string, number, boolean]>([
    ['of a live process', () => `${host}@${process.pid}@${startOf(process.pid)}`, 99, true],
    ['of a process that is gone', () => `${host}@4194303@12345`, 0, false],
    ['of an earlier process with the same pid', () => `${host}@${process.pid}@12`, 0, false],
    // Seed 303 of the fault campaign, fault 0: /proc could not be read.
    ['of a process that is gone and could not tell its start', () => `${host}@4194303@0`, 0, false],
    ['of a process that is there and could not tell its start', () => `${host}@${process.pid}@0`, 0, true],
    ['of another machine, of today', () => 'mello@1@1', 1, true],
    ['of another machine, of days ago', () => 'mello@1@1', 3, false],
  ])('%s', async (_, owner, days, stays) => {
    put(partial(owner()), 'half')
    old(partial(owner()), days)
    await store.probe('config/')
    expect(existsSync(at(partial(owner())))).toBe(stays)
    expect(await keys(store, '')).toEqual([])
    await store.create('config/x', body('x'))
    expect(await keys(store, '')).toEqual(['config/x'])
    expect(existsSync(at(partial(owner())))).toBe(stays)
  })

  test('files of others that look a little like partials stay', async () => {
    for (const name of ['.a.partial', 'x.mello@1@1@1.partial', '.a@1.partial', '.hidden'])
      put(`config/${name}`, 'x')
    for (const name of names('config')) old(`config/${name}`, 99)
    await store.probe('config/')
    expect(names('config')).toHaveLength(4)
  })

  test('of a probe whose disk turned read-only half-way are gone after the next one; what is not empty is not its', async () => {
    for (const [name, content] of [
      ['.probe-bpSnnZ', ''],
      ['.probe-keepme', 'of somebody else'],
      ['.probe-longer-name', ''],
    ] as const)
      writeFileSync(at(name), content)
    await store.probe()
    expect(
      readdirSync(root)
        .filter((name) => name.startsWith('.probe'))
        .sort(),
    ).toEqual(['.probe-keepme', '.probe-longer-name'])
  })

  test('the locks in it are no keys', async () => {
    put('.locks/production-env', '1@host backup-cron')
    put('config/env', 'x')
    const keys: string[] = []
    for await (const { key } of store.list('')) keys.push(key)
    expect(keys).toEqual(['config/env'])
  })

  test('two that clean at once do not disturb each other', async () => {
    for (let n = 0; n < 200; n++) put(partial(`mello@${n}@1`), 'half')
    for (const name of names('config')) old(`config/${name}`, 3)
    await Promise.all([store.probe('config/'), store.probe('config/'), store.probe('config/')])
    expect(names('config')).toEqual([])
  })
})

describe('probing', () => {
  test('law 5: a path that should be a mount and is not fails, and nothing is made there', async () => {
    const share = at('share')
    mkdirSync(share)
    const unmounted = rotatingDirectoryStore({ name: 'sfs', root: path.join(share, 'cache'), mount: share })
    await expect(unmounted.probe()).rejects.toThrow(
      /^sfs: .*share is not a mount point, so .* Mount the share/,
    )
    expect(readdirSync(share)).toEqual([])
  })

  test('a root that is a file, or below one, fails in words', async () => {
    put('file', 'x')
    for (const bad of ['file', 'file/below'])
      await expect(directoryStore({ name: 'mello', root: at(bad) }).probe()).rejects.toThrow(
        /^mello: .*file.* cannot be written to: .*(File exists|Not a directory)/,
      )
  })

  test('leaves nothing behind, and makes a root that only its owner may enter', async () => {
    const made = directoryStore({ name: 'mello', root: at('new/root') })
    expect((await made.probe()).freeBytes).toBeGreaterThan(0)
    expect(readdirSync(at('new/root'))).toEqual([])
    expect(statSync(at('new/root')).mode & 0o777).toBe(0o700)
  })
})

describe('looking', () => {
  test('tells the room, and leaves even the time of the folder as it was', async () => {
    put('config/a', 'x')
    utimesSync(root, 1000, 1000)
    expect((await store.look()).freeBytes).toBeGreaterThan(0)
    expect(statSync(root).mtimeMs).toBe(1_000_000)
  })

  test('tells a folder that was never made, and does not make it', async () => {
    expect(await directoryStore({ name: 'mello', root: at('new/root') }).look()).toEqual({ absent: true })
    expect(names()).toEqual([])
  })

  test('law 5: a path that should be a mount and is not fails in the words of the probe', async () => {
    const unmounted = rotatingDirectoryStore({ name: 'sfs', root: at('cache'), mount: root })
    const words = await unmounted.probe().catch((error) => error.message)
    expect(words).toContain('is not a mount point')
    await expect(unmounted.look()).rejects.toThrow(words)
  })

  test('a root that is a file, or below one, fails in words', async () => {
    put('file', 'x')
    for (const bad of ['file', 'file/below'])
      await expect(directoryStore({ name: 'mello', root: at(bad) }).look()).rejects.toThrow(
        /^mello: .*file.* cannot be read: .*Not a directory/,
      )
  })
})
