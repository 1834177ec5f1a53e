import { buffer } from 'node:stream/consumers'
import { describe, expect, it } from 'vitest'
import { makeRecord, readRecord } from '../../lib/record.ts'
import { type Receipt, Rotten } from '../../lib/stores/store.ts'
import { inPieces, keys, storeContract } from '../stores/contract.ts'
import { heldFiles } from './files.ts'
import { type Act, memoryStore, rotatingMemoryStore, sha256Of } from './memory-store.ts'

for (const [name, open] of [
  ['memory', memoryStore],
  ['the SFS cache in memory', rotatingMemoryStore],
] as const) {
  storeContract(name, async () => {
    const files = heldFiles()
    return {
      store: open({ name: 'memory', files, now: () => new Date() }),
      raw: async (key) => files.get(key)?.content as Buffer,
    }
  })
}

describe('the SFS cache in memory', () => {
  const key = 'config/env-2026-11-24.tar.gz'
  const [old, young] = ['old content', 'young content']
  const record = ({ sha256 }: Receipt) => makeRecord({ archive: 'env-2026-11-24.tar.gz', sha256 })

  /** A store with one pair, whose process dies before the given act. */
  async function cutOff(at?: `${Act} ${string}`) {
    const files = heldFiles()
    const open = (before?: (act: Act, key: string) => void) =>
      rotatingMemoryStore({ name: 'sfs', files, now: () => new Date(), ...(before ? { before } : {}) })
    await open().createPair(key, inPieces(Buffer.from(old)), record)
    const dying = open((act, name) => {
      if (`${act} ${name}` === at) throw new Error('died')
    })
    // An error in the middle of a pair removes the note; a death leaves it.
    const write = dying.replace(key, inPieces(Buffer.from(young)), record)
    if (at) await expect(write).rejects.toThrow('died')
    else await write
    return { files, store: open() }
  }

  it('replaces an archive with its record', async () => {
    const { store } = await cutOff()
    expect(await keys(store, '')).toEqual([key, `${key}.sha256`])
    expect((await buffer(await store.open(key))).toString()).toBe(young)
    const text = (await buffer(await store.open(`${key}.sha256`))).toString()
    expect(readRecord(text)?.sha256).toBe(sha256Of(Buffer.from(young)))
  })

  it('cut off after the archive was exchanged, is mended to the new pair', async () => {
    const { store, files } = await cutOff(`commit ${key}.sha256`)
    expect(files.get(`${key}.sha256.next`)).toBeDefined()
    await store.mend(key)
    expect(files.get(`${key}.sha256.next`)).toBeUndefined()
    expect(readRecord(files.get(`${key}.sha256`)?.content.toString() as string)?.sha256).toBe(
      sha256Of(Buffer.from(young)),
    )
  })

  it('cut off before that, keeps the old pair', async () => {
    const { store, files } = await cutOff(`commit ${key}`)
    files.set(`${key}.sha256.next`, {
      content: Buffer.from(record({ key, bytes: 1, sha256: 'f'.repeat(64) })),
      modified: new Date(),
      links: 0,
    })
    await store.mend(key)
    expect(await keys(store, '')).toEqual([key, `${key}.sha256`])
    expect(files.get(key)?.content.toString()).toBe(old)
  })

  it('counts the bytes of linked names once, until the last of them is gone', async () => {
    const { store, files } = await cutOff()
    const before = files.bytes()
    const to = 'config/env-2026-11-25.tar.gz'
    const text = files.get(`${key}.sha256`)?.content.toString() as string
    await store.link(key, to, text)
    expect(files.bytes() - before).toBe(text.length)
    await store.remove(key)
    expect(files.get(to)?.content.toString()).toBe(young)
    await store.remove(to)
    expect(files.bytes()).toBe(before - young.length + text.length)
  })

  it('gives no further name to what has rotted', async () => {
    const { store, files } = await cutOff()
    const text = files.get(`${key}.sha256`)?.content.toString() as string
    files.set(key, { content: Buffer.from('rotten'), modified: new Date(), links: 0 })
    await expect(store.link(key, 'config/env-2026-11-25.tar.gz', text)).rejects.toThrow(Rotten)
    expect(await keys(store, '')).toEqual([key, `${key}.sha256`])
  })
})
