import path from 'node:path'
import { items } from '../../inventory.ts'
import { captureOf, folderOf } from '../../plan.ts'
import type { Settings } from '../../settings.ts'
import { directoryStore } from '../../stores/directory.ts'
import { lookDirectory } from '../../stores/probe.ts'
import { bringModels, type ModelShelf, type ModelsWanted } from '../models.ts'
import { below, type Site } from '../site.ts'
import type { Step } from '../step.ts'

const item = items.find(({ name }) => name === 'models') as (typeof items)[number]

/** The models where the workshop looks for them: linked to on the share, else downloaded. */
export function modelsStep(site: Site): Step {
  return {
    name: item.name,
    title: 'Models: links to the share, else downloads',
    items: [item.name],
    done: async () => undefined,
    async do() {
      try {
        const wanted = await modelsWanted(site)
        if (wanted.shelves.length === 0) {
          const why = site.request.skipSfs ? [] : [`nothing can be read in ${site.settings.sfs.root}/models`]
          throw new Error(`no source of models can be reached: ${[...why, ...site.away.values()].join('; ')}`)
        }
        const files = await bringModels(wanted)
        if (files.length === 0)
          throw new Error(`there are no models in ${wanted.shelves.map(({ name }) => name).join(', ')}`)
        const failed = files.filter(({ status }) => status === 'failed')
        const changed = files.some(({ status }) => status !== 'unchanged')
        const status = failed.length > 0 ? 'failed' : changed ? 'restored' : 'unchanged'
        const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
        const reason = failed.map(({ error }) => error).join('; ')
        site.outcomes.set(item.name, { item: item.name, status, bytes, files, ...(reason ? { reason } : {}) })
        if (failed.length > 0) throw new Error(reason)
        const count = (one: string) => files.filter((file) => file.status === one).length
        return {
          said: `${count('linked')} linked, ${count('downloaded')} downloaded, ${count('unchanged')} there already`,
          changed,
        }
      } catch (error) {
        if (!site.outcomes.has(item.name))
          site.outcomes.set(item.name, {
            item: item.name,
            status: 'failed',
            reason: (error as Error).message,
          })
        throw error
      }
    },
  }
}

/** What there should be of models on this machine, and where it can come from. */
export async function modelsWanted(site: Site): Promise<ModelsWanted> {
  const { settings } = site
  const capture = captureOf(item, settings)
  if (capture.kind !== 'models') throw new Error('models are files of their own')
  const shelves: ModelShelf[] = []
  for (const { name, store } of site.sources.filter(({ name }) => item.restore.includes(name))) {
    if (name === 'sfs') shelves.push(...(await onShare(settings)))
    else if (!site.away.has(name))
      for (const environment of new Set([settings.environment, 'production']))
        shelves.push({ name, store: store('models'), folder: folderOf(item, environment) })
  }
  return {
    shelves,
    target: below(site.root, capture.path),
    folders: capture.folders,
    extension: capture.extension,
    atOnce: 4,
    onTotal: site.watch.total,
    onBytes: site.watch.bytes,
  }
}

/** The models lie beside the cache, and may be there when that is not. */
async function onShare({ sfs }: Settings): Promise<ModelShelf[]> {
  const here = path.join(sfs.root, 'models')
  const options = { name: 'sfs', root: here, ...(sfs.requireMount ? { mount: sfs.root } : {}) }
  return lookDirectory(options).then(
    () => [{ name: 'sfs', store: directoryStore(options), folder: '', here }],
    () => [],
  )
}
