import type { BucketName, RestoreSource } from '../inventory.ts'
import { messageOf } from '../message.ts'
import type { Offer } from '../restore-order.ts'
import type { Settings } from '../settings.ts'
import { modelsWanted } from './model-shelves.ts'
import { surveyModels } from './models.ts'
import { offersOf } from './offers.ts'
import type { Findings } from './plan.ts'
import { repositoryOf, type SelectedForRestore } from './request.ts'
import { type ArchiveSource, openSources } from './sources.ts'

/**
 * Looks for copies of the selected items in all their sources, the sources and their buckets at the same time. What fails is away from then on and
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
  const away = new Map<RestoreSource, Map<BucketName, string>>()
  const isAway = (source: RestoreSource, bucket: BucketName, why: string) => {
    away.set(source, (away.get(source) ?? new Map<BucketName, string>()).set(bucket, why))
  }

  async function look(source: ArchiveSource, bucket: BucketName): Promise<void> {
    const reason = await source.away(bucket)
    if (reason !== undefined) return isAway(source.name, bucket, reason)
    const wanted = selected.filter(
      ({ item, sources: own }) =>
        item.bucket === bucket && item.capture.kind !== 'models' && own.includes(source.name),
    )
    try {
      for (const { item } of wanted)
        offers.get(item.name)?.push(...(await offersOf(source, item, settings.environment, limit)))
    } catch (error) {
      isAway(source.name, bucket, messageOf(error))
    }
  }

  await Promise.all(
    sources.flatMap((source) => {
      const buckets = selected.flatMap(({ item, sources: own }) =>
        item.bucket && own.includes(source.name) ? item.bucket : [],
      )
      return [...new Set(buckets)].map((bucket) => look(source, bucket))
    }),
  )
  for (const { item, sources: own } of selected) {
    if (own.includes('git') && repositoryOf(item, settings) !== undefined)
      offers.get(item.name)?.push(repository(settings.environment))
  }
  if (!selected.some(({ item, sources: own }) => item.capture.kind === 'models' && own.length > 0))
    return { offers, away, sources }
  try {
    const wanted = await modelsWanted({ settings, sources, root, watch: { total() {}, bytes() {} } })
    return { offers, away, sources, models: await surveyModels(wanted) }
  } catch (error) {
    for (const { name } of sources) isAway(name, 'models', messageOf(error))
    return { offers, away, sources, models: [] }
  }
}

/** What is in a repository is known only once it was fetched. */
function repository(environment: string): Offer {
  return { source: 'git', kind: 'repository', key: 'HEAD', environment }
}
