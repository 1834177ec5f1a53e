import { expect, test } from 'vitest'
import { placeFor } from '../../lib/backup/prepare.ts'
import { listCopies } from '../../lib/copies.ts'
import { makeRecord } from '../../lib/record.ts'
import { heldFiles } from '../life/files.ts'
import { memoryStore, rotatingMemoryStore } from '../life/memory-store.ts'

const target = { store: 'sfs', bucket: 'cache', folder: 'config/', stamp: 'day' } as const

/** The name that new content takes at a time, among copies with these stamps, each recorded at its day's or hour's beginning. */
async function place(open: typeof rotatingMemoryStore | typeof memoryStore, stamps: string[], now: string) {
  const files = heldFiles()
  const put = (key: string, text: string) =>
    files.set(key, { content: Buffer.from(text), modified: new Date(now), links: 0 })
  for (const stamp of stamps) {
    const archive = `env-${stamp}.tar.gz`
    const time = new Date(`${stamp.slice(0, 10)}T${stamp.slice(11, 13) || '00'}:05:00Z`)
    put(`config/${archive}`, 'content')
    put(`config/${archive}.sha256`, makeRecord({ archive, sha256: 'a'.repeat(64), time }))
  }
  const store = open({ name: 'store', files, now: () => new Date(now) })
  const copies = await listCopies(store, 'config/', 'env')
  return placeFor(store, target, 'env', new Date(now), copies)
}

test('on SFS the file of the day is replaced', async () => {
  expect(await place(rotatingMemoryStore, ['2026-11-23', '2026-11-24'], '2026-11-24T10:05:00Z')).toEqual({
    key: 'config/env-2026-11-24.tar.gz',
    over: true,
  })
})

test('on SFS a clock that is behind replaces no file of another day', async () => {
  const stamps = ['2026-11-22', '2026-11-23', '2026-11-24']
  expect(await place(rotatingMemoryStore, stamps, '2026-11-22T20:05:00Z')).toEqual({
    key: 'config/env-2026-11-22-20.tar.gz',
    over: false,
  })
})

test('where nothing is replaced, the next name says the hour', async () => {
  expect(await place(memoryStore, ['2026-11-24'], '2026-11-24T10:05:00Z')).toEqual({
    key: 'config/env-2026-11-24-10.tar.gz',
    over: false,
  })
})
