import { BadArchive } from '../../lib/restore/bad-archive.ts'
import { strangeMembers } from '../../lib/restore/inspect.ts'

/** As bring-back does it with all items but the users' own: one strange member makes the copy a bad one. */
export async function inspect(tree: string, base: string): Promise<void> {
  const [first] = await strangeMembers(tree, base)
  if (first !== undefined) throw new BadArchive(`it holds ${first.what}`)
}
