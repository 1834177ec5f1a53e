import type { BucketName, RestoreSource } from '../../inventory.ts'
import type { Offer } from '../../restore-order.ts'
import type { Settings } from '../../settings/settings.ts'
import { locate } from './chains.ts'
import { modelsWanted, surveyModels } from './models.ts'
import { offersOf } from './offers.ts'
import type { Findings } from './plan.ts'
import { repositoryOf, type SelectedForRestore } from './request.ts'
import { type ArchiveSource, openSources, type Reason, reasonOf } from './sources.ts'

/**
 * Looks for copies of the selected items in all their sources and buckets at once. A source that fails counts
 * as unreachable from then on, with its reason; the others go on. `limit`: `at`, or now without it.
 */
export async function gather(
  selected: readonly SelectedForRestore[],
  settings: Settings,
  root: string,
  limit: Date,
  at?: Date,
): Promise<Findings & { sources: ArchiveSource[] }> {
  const names = [...new Set(selected.flatMap(({ sources }) => sources))]
  const sources = openSources(names, settings, root)
  const offers = new Map<string, Offer[]>(selected.map(({ item }) => [item.name, []]))
  const unreachable = new Map<RestoreSource, Map<BucketName, Reason>>()
  const cannotReach = (source: RestoreSource, bucket: BucketName, why: Reason) => {
    unreachable.set(source, (unreachable.get(source) ?? new Map<BucketName, Reason>()).set(bucket, why))
  }

  async function look(source: ArchiveSource, bucket: BucketName): Promise<void> {
    const reason = await source.whyUnreachable(bucket)
    if (reason !== undefined) return cannotReach(source.name, bucket, reason)
    const wanted = selected.filter(
      ({ item, sources: own }) =>
        item.bucket === bucket && item.capture.kind !== 'models' && own.includes(source.name),
    )
    try {
      for (const { item, sources: own } of wanted) {
        const others = sources.filter((one) => one !== source && own.includes(one.name))
        const elsewhere = async (lost: { archive: string; sha256: string }) => {
          for (const other of others) {
            if ((await other.whyUnreachable(bucket)) !== undefined) continue
            for await (const found of locate([other], item, settings.environment, lost)) return found
          }
          return undefined
        }
        offers.get(item.name)?.push(...(await offersOf(source, item, settings.environment, limit, elsewhere)))
      }
    } catch (error) {
      cannotReach(source.name, bucket, reasonOf(error))
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
    return { offers, unreachable, sources }
  try {
    const wanted = await modelsWanted({ settings, sources, root, limit: at })
    return { offers, unreachable, sources, models: await surveyModels(wanted) }
  } catch (error) {
    for (const { name } of sources) cannotReach(name, 'models', reasonOf(error))
    return { offers, unreachable, sources, models: [] }
  }
}

/** What a repository holds is known only after it is fetched. */
function repository(environment: string): Offer {
  return { source: 'git', kind: 'repository', key: 'HEAD', environment }
}
