import { items } from '../inventory.ts'
import { captureOf, folderOf } from '../plan.ts'
import { directoryStore } from '../stores/directory.ts'
import type { ModelShelf, ModelsWanted } from './models.ts'
import { below, type Site } from './site.ts'
import { modelsOnShare } from './sources.ts'

const item = items.find(({ name }) => name === 'models') as (typeof items)[number]

/** What there should be of models on this machine, and where it can come from: sources that are away now are left out. */
export async function modelsWanted({
  settings,
  sources,
  root,
  watch,
}: Pick<Site, 'settings' | 'sources' | 'root'> & {
  watch: Pick<Site['watch'], 'total' | 'bytes'>
}): Promise<ModelsWanted> {
  const capture = captureOf(item, settings)
  if (capture.kind !== 'models') throw new Error('models are files of their own')
  const shelves: ModelShelf[] = []
  for (const source of sources.filter(({ name }) => item.restore.includes(name))) {
    const { name } = source
    if ((await source.away('models')) !== undefined) continue
    if (name === 'sfs') {
      const here = modelsOnShare(settings)
      shelves.push({ name, store: directoryStore({ name, root: here }), folder: '', here })
    } else
      for (const environment of new Set([settings.environment, 'production']))
        shelves.push({ name, store: source.store('models'), folder: folderOf(item, environment) })
  }
  return {
    shelves,
    target: below(root, capture.path),
    folders: capture.folders,
    extension: capture.extension,
    atOnce: 4,
    onTotal: watch.total,
    onBytes: watch.bytes,
  }
}
