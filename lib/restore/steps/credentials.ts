import { chmod, chown, copyFile, mkdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { captureOf, folderOf } from '../../backup/plan.ts'
import { filterOf, git } from '../../capture/repository.ts'
import { openFile } from '../../files/beneath.ts'
import { items } from '../../inventory.ts'
import { below, type Done, type RestoreContext, type Step } from '../context.ts'
import { copyOf, fromBestCopy } from '../files/bring-back.ts'
import { latin1, lookThrough } from '../files/paths.ts'
import { putInPlace } from '../files/put-in-place.ts'
import { withStaging } from '../files/staging.ts'
import { BadArchive } from '../files/unpack.ts'
import type { ItemOutcome } from '../report.ts'
import { ownerOf, withClone } from './clone.ts'

const item = items.find(({ name }) => name === 'credentials') as (typeof items)[number]

/**
 * The credentials from their private repository. Existing files (such as the machine's own .env) stay, unless
 * requested by name. An empty folder in place of a file goes: docker makes one for a missing mount.
 */
export function credentialsStep(context: RestoreContext): Step {
  return {
    name: item.name,
    title: `${item.title}, from their git repository, where they are missing`,
    items: [item.name],
    done: async () => undefined,
    async do(): Promise<Done> {
      const changed = await fromBestCopy(context, item.name, (offer) => restore(context, copyOf(offer)))
      return { said: changed ? 'put in place, readable by their owner alone' : 'there already', changed }
    },
  }
}

async function restore(
  context: RestoreContext,
  copy: Partial<ItemOutcome>,
): Promise<Omit<ItemOutcome, 'item'>> {
  const { settings, root, request } = context
  const capture = captureOf(item, settings)
  if (capture.kind !== 'repository') throw new Error('credentials come from a repository')
  const named = request.only !== undefined
  // If Mello was lost, the project's user has the key, not root.
  const owner = await ownerOf(below(root, settings.projectDir.mello))
  return withClone(
    settings.repositories.credentials as string,
    { flags: ['--depth', '1'], owner },
    async (clone) => {
      const lacking: { source: string; file: string }[] = []
      for (const { path: source } of capture.sources) {
        const name = folderOf(item, settings.environment) + path.relative(settings.projectDir.mello, source)
        const file = path.join(clone, name)
        await checkOut(clone, name)
        const content = await readFile(file).catch(() => {
          throw new BadArchive(`it has no file ${name}`)
        })
        await using folder = await lookThrough(latin1(path.dirname(below(root, source))), latin1(root))
        const there = folder && (await contentAt(folder.at(latin1(path.basename(source)))))
        if (there === undefined || (named && !there.equals(content))) lacking.push({ source, file })
      }
      // Writing into the project for nothing would make the home look changed.
      if (lacking.length === 0) return { status: 'unchanged', ...copy }
      return withStaging(root, capture.sources, async (tree) => {
        for (const { source, file } of lacking) {
          const staged = path.join(tree, source)
          await mkdir(path.dirname(staged), { recursive: true })
          await copyFile(file, staged)
          await chmod(staged, 0o600)
          await giveToOwnerOf(path.dirname(below(root, source)), root, staged)
        }
        const { changed, aside } = await putInPlace({
          staged: tree,
          base: '',
          root,
          sources: capture.sources,
          aside: context.aside,
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

/** Writes a file as it was committed, whatever the repository's attributes say. */
async function checkOut(clone: string, name: string): Promise<void> {
  const filter = await filterOf(clone, name)
  if (filter !== undefined)
    throw new BadArchive(`${name} went through the filter ${filter}, which cannot be applied here`)
  await writeFile(path.join(clone, '.git/info/attributes'), '* -text -ident -working-tree-encoding\n')
  await rm(path.join(clone, name), { force: true })
  await git(clone, ['checkout', '--quiet', 'HEAD', '--', name], { address: '', environment: {} })
}

/** Reads a file in a held folder; removes an empty folder. Undefined for other types: put aside. */
async function contentAt(target: string): Promise<Buffer | undefined> {
  await rmdir(target).catch(() => {})
  const file = await openFile(target).catch(() => undefined)
  return file?.readFile().finally(() => file.close())
}

/** Files in a home belong to the home's owner. */
async function giveToOwnerOf(folder: string, root: string, file: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  await using held = await lookThrough(latin1(folder), latin1(root))
  if (held === undefined) return giveToOwnerOf(path.dirname(folder), root, file)
  const { uid, gid } = await held.about()
  await chown(file, uid, gid)
}
