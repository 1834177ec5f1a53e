import { type BringBackOptions, bringBack, isBackAlready } from '../bring-back.ts'
import { plannedItem, type Site } from '../site.ts'
import { type Done, Skip, type Step } from '../step.ts'

/** Brings an item's files back, and nothing else. */
export function filesStep(site: Site, item: string): Step {
  return {
    name: item,
    title: plannedItem(site, item)?.title ?? item,
    items: [item],
    done: () => isBackInWords(site, item),
    do: () => bringBackInWords(site, item),
  }
}

export async function isBackInWords(site: Site, item: string): Promise<string | undefined> {
  return (await isBackAlready(site, item)) ? saidOf(site, item) : undefined
}

/** Throws Skip for an item that is left out on purpose. */
export async function bringBackInWords(site: Site, item: string, options?: BringBackOptions): Promise<Done> {
  const changed = await bringBack(site, item, options)
  const outcome = site.outcomes.get(item)
  if (outcome?.status === 'skipped') throw new Skip(outcome.reason)
  return { said: saidOf(site, item), changed }
}

function saidOf(site: Site, item: string): string {
  const { status, source, key, time, aside } = site.outcomes.get(item) ?? {}
  const from = `${source}: ${key}${time ? ` of ${time.slice(0, 16)}Z` : ''}`
  if (status === 'unchanged') return `there already, as in ${from}`
  return `from ${from}${aside ? `; ${aside.length} put aside` : ''}`
}
