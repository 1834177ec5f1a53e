import { reasonsOf } from '../away.ts'
import { modelsWanted } from '../model-shelves.ts'
import { bringModels } from '../models.ts'
import type { Site } from '../site.ts'
import { plannedItem } from '../site.ts'
import { Skip, type Step } from '../step.ts'

const name = 'models'

/** The models where the workshop looks for them: linked to on the share, else downloaded. */
export function modelsStep(site: Site): Step {
  return {
    name,
    title: 'Models: links to the share, else downloads',
    items: [name],
    done: async () => undefined,
    async do() {
      const leftOut = plannedItem(site, name)?.leftOut
      if (leftOut !== undefined) throw new Skip(leftOut)
      const wanted = await modelsWanted(site)
      if (wanted.shelves.length === 0) throw new Error(`no source of models can be reached: ${whyNone(site)}`)
      const files = await bringModels(wanted)
      if (files.length === 0)
        throw new Error(
          `there are no models in ${[...new Set(wanted.shelves.map((shelf) => shelf.name))].join(', ')}`,
        )
      const failed = files.filter(({ status }) => status === 'failed')
      const changed = files.some(({ status }) => status !== 'unchanged')
      const status = failed.length > 0 ? 'failed' : changed ? 'restored' : 'unchanged'
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
      const reason = failed.map(({ error }) => error).join('; ')
      site.outcomes.set(name, { item: name, status, bytes, files, ...(reason ? { reason } : {}) })
      if (failed.length > 0) throw new Error(reason)
      const count = (one: string) => files.filter((file) => file.status === one).length
      return {
        said: `${count('linked')} linked, ${count('downloaded')} downloaded, ${count('unchanged')} there already`,
        changed,
      }
    },
  }
}

function whyNone({ away }: Site): string {
  const reasons = [...away.keys()].flatMap((source) => reasonsOf(away, source))
  return reasons.join('; ') || 'the flags leave all of them out'
}
