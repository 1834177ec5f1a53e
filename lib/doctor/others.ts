import { lstat } from 'node:fs/promises'

/** NFS gives root's files to this number where the share does not trust root. */
const nobody = 65534

/**
 * In words, why others than root and this user could put something of theirs in the place of what lies in a folder, or change a file; undefined when they cannot, when
 * it is not there, and for a link, which says nothing of that. A group that is this user's own is no other.
 */
export async function whyNotOurs(file: string): Promise<string | undefined> {
  const about = await lstat(file).catch(() => undefined)
  if (about === undefined || about.isSymbolicLink()) return undefined
  const strangersInGroup = ![0, process.getgid?.()].includes(about.gid)
  if ((about.mode & 0o002) !== 0 || ((about.mode & 0o020) !== 0 && strangersInGroup))
    return `has mode 0${(about.mode & 0o7777).toString(8).padStart(3, '0')}: others can write to it`
  // Whoever is not root can only use what root, or they themselves, have given them.
  if (process.getuid?.() !== 0 || [0, nobody].includes(about.uid)) return undefined
  return `belongs to number ${about.uid}, who can write to it`
}
