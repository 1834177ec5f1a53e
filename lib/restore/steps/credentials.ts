import { chmod, chown, copyFile, lstat, mkdir, readFile, rmdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { items } from '../../inventory.ts'
import { captureOf, folderOf } from '../../plan.ts'
import { BadArchive } from '../bad-archive.ts'
import { copyOf, fromBestCopy } from '../bring-back.ts'
import { withClone } from '../clone.ts'
import type { PlannedItem } from '../plan.ts'
import { putInPlace } from '../put-in-place.ts'
import type { ItemOutcome } from '../report.ts'
import { below, plannedItem, type Site } from '../site.ts'
import { withStaging } from '../staging.ts'
import { type Done, Skip, type Step } from '../step.ts'

const item = items.find(({ name }) => name === 'credentials') as (typeof items)[number]

/**
 * The credentials from their private repository. A file that is there already (the machine's own .env, from its backup) stays, unless they are asked for by name. What
 * compose mounts as a file must be one: where a container was started without it, docker has made an empty folder in its place, which goes.
 */
export function credentialsStep(site: Site): Step {
  return {
    name: item.name,
    title: `${item.title}, from their git repository, where they are not there`,
    items: [item.name],
    done: async () => undefined,
    async do(): Promise<Done> {
      const planned = plannedItem(site, item.name) as PlannedItem
      const changed = await fromBestCopy(site, planned, (offer) => restore(site, copyOf(offer)))
      const outcome = site.outcomes.get(item.name)
      if (outcome?.status === 'skipped') throw new Skip(outcome.reason)
      return { said: changed ? 'put in place, readable by their owner alone' : 'there already', changed }
    },
  }
}

async function restore(site: Site, copy: Partial<ItemOutcome>): Promise<Omit<ItemOutcome, 'item'>> {
  const { settings, root, request } = site
  const capture = captureOf(item, settings)
  if (capture.kind !== 'repository') throw new Error('credentials come from a repository')
  const named = request.only !== undefined
  return withClone(
    settings.repositories.credentials as string,
    { flags: ['--depth', '1'] },
    async (clone) => {
      const lacking: { source: string; file: string }[] = []
      for (const { path: source } of capture.sources) {
        const name = folderOf(item, settings.environment) + path.relative(settings.projectDir.mello, source)
        const file = path.join(clone, name)
        const content = await readFile(file).catch(() => {
          throw new BadArchive(`it has no file ${name}`)
        })
        const target = below(root, source)
        await rmdir(target).catch(() => {})
        const there = await readFile(target).catch(() => undefined)
        if (there === undefined || (named && !there.equals(content))) lacking.push({ source, file })
      }
      // A folder in the project for nothing would make the home look changed.
      if (lacking.length === 0) return { status: 'unchanged', ...copy }
      return withStaging(root, capture.sources, async (tree) => {
        for (const { source, file } of lacking) {
          const staged = path.join(tree, source)
          await mkdir(path.dirname(staged), { recursive: true })
          await copyFile(file, staged)
          await chmod(staged, 0o600)
          await giveToOwnerOf(path.dirname(below(root, source)), staged)
        }
        const { changed, aside } = await putInPlace({
          staged: tree,
          base: '',
          root,
          sources: capture.sources,
          aside: site.aside,
        })
        return {
          status: changed > 0 ? 'restored' : 'unchanged',
          ...copy,
          ...(aside.length > 0 ? { aside } : {}),
        }
      })
    },
  )
}

/** Files in a home belong to whose home it is. */
async function giveToOwnerOf(folder: string, file: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const there = await lstat(folder).catch(() => undefined)
  if (there === undefined) return giveToOwnerOf(path.dirname(folder), file)
  const { uid, gid } = await stat(folder)
  await chown(file, uid, gid)
}
