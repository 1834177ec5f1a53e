import { folderOf } from '../../backup/plan.ts'
import { chainOf, type Known } from '../../chain.ts'
import { copiesAmong, readCopy } from '../../copies.ts'
import type { BucketName, Item, RestoreSource } from '../../inventory.ts'
import { nameOf, readArchiveName } from '../../naming.ts'
import type { ArchiveRecord } from '../../record.ts'
import type { Offer } from '../../restore-order.ts'
import type { Entry } from '../../stores/store.ts'
import type { ArchiveSource } from './sources.ts'

/** An archive in a source, with its record. */
export interface Located {
  source: RestoreSource
  key: string
  bytes: number
  record: ArchiveRecord
}

/** Finds archives with the same digest, by the records of the same day. A source that fails has none. */
export async function* locate(
  sources: readonly ArchiveSource[],
  item: Item,
  environment: string,
  { archive, sha256 }: { archive: string; sha256: string },
): AsyncGenerator<Located> {
  const name = readArchiveName(item.name, archive)
  if (name?.kind !== 'dated') return
  for (const source of sources.filter((one) => item.restore.includes(one.name))) {
    const store = source.store(item.bucket as BucketName)
    for (const own of new Set([environment, 'production'])) {
      for (const folder of source.folders(folderOf(item, own))) {
        const entries: Entry[] = []
        try {
          const day = name.stamp.slice(0, 'YYYY-MM-DD'.length)
          for await (const entry of store.list(`${folder}${item.name}-${day}`)) entries.push(entry)
        } catch {
          continue
        }
        const copies = copiesAmong(entries, folder, item.name)
        const namedAlike = (key: string) => Number(key === folder + archive)
        for (const copy of copies.sort((a, b) => namedAlike(b.key) - namedAlike(a.key))) {
          const known = await readCopy(store, copy).catch(() => undefined)
          if (known?.good && known.record.sha256 === sha256)
            yield { source: source.name, key: copy.key, bytes: copy.bytes as number, record: known.record }
        }
      }
    }
  }
}

/** Looks for a lost archive in the other sources. */
export type Elsewhere = (archive: { archive: string; sha256: string }) => Promise<Located | undefined>

/** Links each increment to what it builds on, or marks it as flawed. `offers`: an item's, in one folder. */
export async function followChains(offers: readonly Offer[], elsewhere: Elsewhere): Promise<Offer[]> {
  const known = new Map<string, Known>()
  for (const { key, record, bytes } of offers) known.set(nameOf(key), { record, bytes })
  const borrowed = new Map<string, Located | undefined>()
  const followed: Offer[] = []
  for (const offer of offers) {
    const { record, flaw } = offer
    if (record?.increment === undefined || flaw !== undefined) {
      followed.push(offer)
      continue
    }
    for (;;) {
      const chain = chainOf(record, (archive) => known.get(archive))
      if (chain.links !== undefined) {
        const { links } = chain
        const from = links.flatMap(({ archive }) => {
          const source = borrowed.get(archive)?.source
          return source ? [{ archive, source }] : []
        })
        followed.push({ ...offer, links: links.map(linkOf), ...(from.length > 0 ? { borrowed: from } : {}) })
        break
      }
      const { lost, why } = chain
      const found = borrowed.has(lost.archive) ? undefined : await elsewhere(lost)
      if (!borrowed.has(lost.archive)) borrowed.set(lost.archive, found)
      if (found === undefined) {
        followed.push({ ...offer, flaw: `builds on ${lost.archive}, which ${lostInWords[why]}` })
        break
      }
      known.set(lost.archive, { record: { ...found.record, archive: lost.archive }, bytes: found.bytes })
    }
  }
  return followed
}

const lostInWords = {
  'no archive': 'is gone',
  'no record': 'has no record that can be read',
  'other archive': 'is now another archive, or cut short',
  broken: 'is broken',
}

function linkOf({ archive, sha256, bytes = 0 }: ArchiveRecord) {
  return { archive, sha256, bytes }
}
