import { stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { git, remoteOf } from '../../capture/repository.ts'
import { withScratch } from '../../files/scratch.ts'
import { sshOptions } from '../../hosts/ssh.ts'
import { messageOf } from '../../text.ts'
import type { Owner } from './user.ts'

export interface CloneOptions {
  /** The clone is made in the same folder as this path; default: the temporary folder. */
  near?: string
  flags?: readonly string[]
  /** Whose ssh key to try when this user's is refused. */
  owner?: Owner
}

/**
 * Clones a git repository into a private folder and calls `use` with it. The clone is removed afterwards
 * unless `use` moved it. Throws git's message, without the password that the address may contain.
 */
export async function withClone<T>(
  address: string,
  { near = tmpdir(), flags = [], owner }: CloneOptions,
  use: (clone: string) => Promise<T>,
): Promise<T> {
  const remote = remoteOf(address)
  return withScratch(near, '.comfyume-restore', async (scratch) => {
    const clone = path.join(scratch, 'clone')
    const attempt = async (environment: Record<string, string>) => {
      const args = ['clone', '--quiet', ...flags, '--', remote.address, clone]
      const { exitCode, stderr } = await git(scratch, args, { ...remote, environment })
      if (exitCode !== 0) throw new Error(stderr.split('\n')[0])
    }
    try {
      await attempt(remote.environment)
    } catch (error) {
      if (owner === undefined || owner.uid === process.getuid?.()) throw cannotClone(remote.address, error)
      // Only ssh runs as the owner, who has the key. The clone stays where no other user can reach it.
      const ssh = `${asOwner(owner).join(' ')} ssh ${sshOptions().join(' ')}`
      await attempt({ ...remote.environment, GIT_SSH_COMMAND: ssh }).catch((again) => {
        const why = `as this user: ${messageOf(error)}; with the key of user ${owner.uid}: ${messageOf(again)}`
        throw cannotClone(remote.address, why, owner)
      })
    }
    return use(clone)
  })
}

function cannotClone(address: string, why: unknown, owner?: Owner): Error {
  const as = owner === undefined ? '' : `sudo -u '#${owner.uid}' `
  return new Error(
    `${address} cannot be cloned: ${messageOf(why)}. This must work without a question: ${as}git ls-remote '${address}'`,
    { cause: why },
  )
}

/** Who owns a folder, or its nearest existing parent. */
export async function ownerOf(folder: string): Promise<Owner> {
  const found = await stat(folder).catch(() => undefined)
  return found === undefined ? ownerOf(path.dirname(folder)) : { uid: found.uid, gid: found.gid }
}

/** Prefix for a command that runs as that user, in no group but its own. */
export function asOwner({ uid, gid }: Owner): string[] {
  if (uid === process.getuid?.()) return []
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups']
}
