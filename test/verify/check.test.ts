import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Item, items } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
import { S3Failure } from '../../lib/stores/s3/failure.ts'
import { type AppendOnlyStore, type RotatingStore, StoreError } from '../../lib/stores/store.ts'
import { checkArchive } from '../../lib/verify/check.ts'
import { openMemory } from '../../lib/verify/memory.ts'
import { makeBudget } from '../../lib/verify/plan.ts'
import { readStore, type VerifyEvent } from '../../lib/verify/read.ts'
import { type Archive, listArchives, unlessStalled } from '../../lib/verify/survey.ts'

const env = items.find(({ name }) => name === 'env') as Item
const name = 'env-2026-11-24.tar.gz'
const key = `config/${name}`

let root: string
let sfs: RotatingStore
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'check-'))
  mkdirSync(path.join(root, 'config'))
  sfs = rotatingDirectoryStore({ name: 'sfs', root })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (file: string) => path.join(root, file)
const recordOf = (content: string | Buffer) =>
  `# bytes: ${content.length}\n${createHash('sha256').update(content).digest('hex')}  ${name}\n`
function put(content: string | Buffer, record: string | undefined = recordOf(content)) {
  writeFileSync(at(key), content)
  if (record !== undefined) writeFileSync(at(`${key}.sha256`), record)
}
const shelf = (store: AppendOnlyStore) => ({ name: 'sfs' as const, bucket: 'cache' as const, store })
const listed = async (store: AppendOnlyStore = sfs) =>
  (await listArchives(shelf(store), env, 'production'))[0] as Archive

const options = {
  environment: 'production',
  budget: makeBudget(undefined),
  onBytes() {},
  mustHave: [],
  isImage: false,
  settled: async () => {},
}

/** Checks the one archive with `meanwhile` done when its first byte was read. */
async function check(
  meanwhile: () => unknown = () => {},
  { budget = makeBudget(undefined), store = sfs } = {},
) {
  const archive = await listed()
  let done = false
  const disturbed = {
    ...store,
    async openPastCache(asked: string) {
      const body = await store.openPastCache(asked)
      async function* read() {
        yield* body
        if (!done) await meanwhile()
        done = true
      }
      return Readable.from(read())
    },
  }
  return checkArchive(shelf(disturbed), archive, { ...options, budget })
}

describe('a backup or a rotation meanwhile is no fault of the archive', () => {
  test('replaced while it was read, it is read again, with its new record', async () => {
    put('old')
    const verdict = await check(() =>
      sfs.replace(key, Readable.from([Buffer.from('new content')]), () => recordOf('new content')),
    )
    // What was open stays readable, so the old content fitted the old record.
    expect(verdict).toMatchObject({ status: 'good', bytes: 3 })
    put('old', recordOf('oId'))
    const again = await check(() =>
      sfs.replace(key, Readable.from([Buffer.from('new content')]), () => recordOf('new content')),
    )
    expect(again).toMatchObject({ status: 'good', bytes: 11, archive: { bytes: 11 } })
  })

  test('replaced by one for which the budget has no second reading, it is left unread', async () => {
    put('old', recordOf('oId'))
    const replace = () => put('new content')
    expect(await check(replace, { budget: makeBudget(10) })).toMatchObject({ status: 'unread' })
    put('old', recordOf('oId'))
    expect(await check(replace, { budget: makeBudget(11) })).toMatchObject({ status: 'good' })
  })

  test('rotated away while it was read, it is gone', async () => {
    put('old', recordOf('oId'))
    const rotate = async () => {
      await sfs.remove(key)
      await sfs.remove(`${key}.sha256`)
    }
    expect(await check(rotate)).toMatchObject({ status: 'gone' })
    put('old', recordOf('oId'))
    expect(await check(() => sfs.remove(key))).toMatchObject({ status: 'gone' })
  })

  test('rotated away before it was opened, it is gone', async () => {
    put('old')
    const archive = await listed()
    rmSync(at(key))
    rmSync(at(`${key}.sha256`))
    expect(await checkArchive(shelf(sfs), archive, options)).toMatchObject({ status: 'gone' })
  })

  test.each([
    ['sfs', []],
    [
      'r2',
      [
        'r2: config/env-2026-11-24.tar.gz was removed since it was listed, which no backup does: find out who can',
      ],
    ],
  ] as const)('from %s, it is gone, and where nothing is ever removed a problem', async (store, problems) => {
    put('old')
    const archive = { ...(await listed()), store }
    rmSync(at(key))
    rmSync(at(`${key}.sha256`))
    const view = {
      name: store,
      failures: [],
      shelves: [{ ...shelf(sfs), name: store }],
      items: ['env'],
      byItem: [[archive]],
      listedAt: 0,
    }
    const memory = await openMemory(root, store, readSettings({}), () => {})
    const events: VerifyEvent[] = []
    await readStore(
      { view, memory, reads: [archive], left: [], complete: true, before: undefined },
      {
        settings: readSettings({}),
        clock: () => new Date(),
        budget: makeBudget(undefined),
        elsewhere: async () => [],
        adopting: false,
        tell: (event) => events.push(event),
      },
    )
    expect(events.flatMap((one) => (one.kind === 'problem' ? one.text : []))).toEqual(problems)
    expect(events).toContainEqual(
      expect.objectContaining({ checked: expect.objectContaining({ status: 'gone' }) }),
    )
  })

  test('a record whose archive rotation has just removed is waited for; one that stays is told', async () => {
    writeFileSync(at(`${key}.sha256`), recordOf('old'))
    const archive = await listed()
    const stays = await checkArchive(shelf(sfs), archive, options)
    expect(stays).toMatchObject({ status: 'broken', reason: 'is gone, only its record is there' })
    const settled = async () => rmSync(at(`${key}.sha256`))
    const goes = await checkArchive(shelf(sfs), archive, { ...options, settled })
    expect(goes).toMatchObject({ status: 'gone' })
  })

  test.each(['old', 'new'])(
    'of a pair that was cut off, whose archive is the %s one, it is good',
    async (content) => {
      put(content, recordOf('old'))
      writeFileSync(at(`${key}.sha256.next`), recordOf('new'))
      expect(await check()).toMatchObject({ status: 'good' })
    },
  )

  test('a new pair that was cut off has its record beside it, under its first name', async () => {
    put('new')
    writeFileSync(at(`${key}.sha256.next`), readFileSync(at(`${key}.sha256`)))
    rmSync(at(`${key}.sha256`))
    expect(await check()).toMatchObject({ status: 'good' })
    writeFileSync(at(`${key}.sha256.next`), recordOf('neW'))
    expect(await check()).toMatchObject({ status: 'broken' })
  })

  test('given its record while it was read, it is checked by that', async () => {
    put('no gzip at all', '')
    rmSync(at(`${key}.sha256`))
    expect(await check(() => put('no gzip at all'))).toMatchObject({ status: 'good' })
  })
})

describe('what cannot be read', () => {
  const failing = (error: () => Error, look = async () => ({})): RotatingStore => ({
    ...sfs,
    look,
    openPastCache: async () => {
      throw error()
    },
  })

  test('is broken while the store itself answers', async () => {
    put('content')
    const store = failing(() => new Error('Input/output error'))
    expect(await check(() => {}, { store })).toMatchObject({
      status: 'broken',
      reason: 'cannot be read: Input/output error',
    })
  })

  test('is no archive’s fault when the store no longer answers', async () => {
    put('content')
    const away = async () => {
      throw new StoreError('sfs: did not answer')
    }
    const store = failing(() => new Error('Input/output error'), away)
    await expect(check(() => {}, { store })).rejects.toThrow('sfs: did not answer')
  })

  test('is no archive’s fault when the key may not read', async () => {
    put('content')
    const store = failing(() => new S3Failure('r2: not allowed', 'AccessDenied', 403, false))
    await expect(check(() => {}, { store })).rejects.toThrow('not allowed')
  })

  test('a record that is a folder is a record that cannot be read', async () => {
    put('content', '')
    rmSync(at(`${key}.sha256`))
    mkdirSync(at(`${key}.sha256`))
    expect(await check()).toMatchObject({
      status: 'broken',
      reason: expect.stringMatching(/its record cannot be read: .*EISDIR/),
    })
  })

  test('what hangs is given up', async () => {
    const hanging = new Readable({ read() {} })
    hanging.push('first')
    const read = async () => {
      for await (const _ of unlessStalled(hanging, 'sfs: config/x', 0.05));
    }
    await expect(read()).rejects.toThrow('sfs: config/x: no data for 0.05 s: it hangs')
    expect(hanging.destroyed).toBe(true)
  })
})

test('an archive without a record in a plain folder, whole: unverified, with what is inside', async () => {
  const store = directoryStore({ name: 'mello', root })
  const content = gzipSync('no tar')
  writeFileSync(at(key), content)
  expect(existsSync(at(`${key}.sha256`))).toBe(false)
  const verdict = await checkArchive(shelf(store), await listed(store), options)
  expect(verdict).toMatchObject({
    status: 'unverified',
    bytes: content.length,
    inside: { tar: expect.stringContaining('tar archive') },
  })
})
