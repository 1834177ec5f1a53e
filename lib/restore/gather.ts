import type { RestoreSource } from '../inventory.ts'
import { messageOf } from '../message.ts'
import type { Offer } from '../restore-order.ts'
import type { Settings } from '../settings.ts'
import { offersOf } from './offers.ts'
import type { Findings } from './plan.ts'
import { repositoryOf, type SelectedForRestore } from './request.ts'
import { type ArchiveSource, openSources } from './sources.ts'

/**
 * Looks for copies of the selected items in all their sources, the sources at the same time. A source that fails is away from then on and
 * says why; the others go on.
 */
export async function gather(
  selected: readonly SelectedForRestore[],
  settings: Settings,
  root: string,
  limit: Date,
): Promise<Findings & { sources: ArchiveSource[] }> {
  const names = [...new Set(selected.flatMap(({ sources }) => sources))]
  const sources = openSources(names, settings, root)
  const offers = new Map<string, Offer[]>(selected.map(({ item }) => [item.name, []]))
  const away = new Map<RestoreSource, string>()
  await Promise.all(
    sources.map(async (source) => {
      const reason = await source.away()
      if (reason !== undefined) {
        away.set(source.name, reason)
        return
      }
      const wanted = selected.filter(
        ({ item, sources: own }) =>
          item.bucket && item.capture.kind !== 'models' && own.includes(source.name),
      )
      try {
        for (const { item } of wanted) {
          const found = await offersOf(source, item, settings.environment, limit)
          offers.get(item.name)?.push(...found)
        }
      } catch (error) {
        away.set(source.name, messageOf(error))
      }
    }),
  )
  for (const { item, sources: own } of selected) {
    if (own.includes('git') && repositoryOf(item, settings) !== undefined)
      offers.get(item.name)?.push(repository(settings.environment))
  }
  return { offers, away, sources }
}

/** What is in a repository is known only once it was fetched. */
function repository(environment: string): Offer {
  return { source: 'git', kind: 'repository', key: 'HEAD', environment }
}
