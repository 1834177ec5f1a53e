import { messageOf } from '../message.ts'
import { readSmall } from '../stores/small-text.ts'
import { type AppendOnlyStore, NoSuchKey } from '../stores/store.ts'
import type { SeenFile } from './seen.ts'

/** Every object of a bucket, in one listing. */
export async function lookAtBucket(store: AppendOnlyStore): Promise<SeenFile[]> {
  const files: SeenFile[] = []
  for await (const entry of store.list('')) files.push(entry)
  return files
}

/** The texts of small objects, a few at a time; one that has gone is left out. Throws for a store that gives none of them. */
export async function readObjects(
  store: AppendOnlyStore,
  keys: readonly string[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  const waiting = [...keys]
  const reader = async () => {
    for (let key = waiting.shift(); key !== undefined; key = waiting.shift()) {
      try {
        texts.set(key, await readSmall(store, key))
      } catch (error) {
        if (!(error instanceof NoSuchKey)) throw new Error(messageOf(error), { cause: error })
      }
    }
  }
  await Promise.all(Array.from({ length: atOnce }, reader))
  return texts
}

const atOnce = 8
