import { tmpdir } from 'node:os'
import path from 'node:path'
import { git, remoteOf } from '../capture/git.ts'
import { withScratch } from '../scratch.ts'

/**
 * Clones a git repository into a new folder beside `near` (or the temporary one) and calls `use` with it; it is gone afterwards unless `use` moved it. Throws
 * what git says, without what the address holds of a password. `flags` are git's.
 */
export async function withClone<T>(
  address: string,
  { near = tmpdir(), flags = [] }: { near?: string; flags?: string[] },
  use: (clone: string) => Promise<T>,
): Promise<T> {
  const remote = remoteOf(address)
  return withScratch(near, '.comfyume-restore', async (scratch) => {
    const clone = path.join(scratch, 'clone')
    const { exitCode, stderr } = await git(
      scratch,
      ['clone', '--quiet', ...flags, '--', remote.address, clone],
      remote,
    )
    if (exitCode !== 0)
      throw new Error(
        `${remote.address} cannot be cloned: ${stderr.split('\n').at(-1)}. See that this user may read it without being asked`,
      )
    return use(clone)
  })
}
