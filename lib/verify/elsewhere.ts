import { type Item, items } from '../inventory.ts'
import { recordName } from '../naming.ts'
import { readRecord } from '../record.ts'
import { selectStored } from '../select.ts'
import type { Settings } from '../settings.ts'
import { smallText } from '../stores/small-text.ts'
import type { Archive, Shelf } from './archives.ts'
import { type StoreView, surveyStore } from './survey.ts'

/** Where else the content of an archive lies, by the records there. */
export type FindElsewhere = (
  archive: Archive,
  content: { bytes: number; sha256: string },
) => Promise<string[]>

/**
 * Asks the item's other stores, those too that this run does not read; each is looked at once, and only when something is broken. One
 * that cannot be asked counts as one that has nothing.
 */
export function findElsewhere(settings: Settings): FindElsewhere {
  const views = new Map<string, Promise<StoreView>>()
  const view = (name: string, item: Item): Promise<StoreView> => {
    const id = `${name}/${item.name}`
    const known = views.get(id) ?? survey(name, item)
    views.set(id, known)
    return known
  }
  const survey = async (name: string, item: Item): Promise<StoreView> => {
    const failed = [...views].find(([id]) => id.startsWith(`${name}/`))?.[1]
    const before = await failed
    if (before !== undefined && before.failures.length > 0) return before
    const selected = selectStored([item.name])
    return surveyStore(name as StoreView['name'], selected, settings, false)
  }
  return async (archive, content) => {
    const item = items.find(({ name }) => name === archive.item) as Item
    const others = selectStored([item.name])
      .flatMap((one) => one.stores)
      .filter((name) => name !== archive.store)
    const found = await Promise.all(
      others.map(async (name) => {
        const { shelves, byItem } = await view(name, item)
        const alike = byItem.flat().filter(({ bytes, recorded }) => recorded && bytes === content.bytes)
        for (const copy of alike) {
          const shelf = shelves.find(({ bucket }) => bucket === copy.bucket) as Shelf
          if (await isContent(shelf, copy, content.sha256)) return [`${name} (${copy.key})`]
        }
        return []
      }),
    )
    return found.flat()
  }
}

async function isContent({ store }: Shelf, { key }: Archive, sha256: string): Promise<boolean> {
  try {
    return readRecord((await smallText(store, recordName(key))) ?? '')?.sha256 === sha256
  } catch {
    return false
  }
}
