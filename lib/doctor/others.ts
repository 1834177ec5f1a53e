import { stat } from 'node:fs/promises'

/** NFS gives root's files to this number where the share does not trust root. */
const nobody = 65534

/**
 * In words, why others than root and this user could put something of theirs in the place of what lies in a folder, or change a file; undefined when they cannot, or
 * when it is not there.
 */
export async function whyNotOurs(file: string): Promise<string | undefined> {
  const about = await stat(file).catch(() => undefined)
  if (about === undefined) return undefined
  if ((about.mode & 0o022) !== 0)
    return `has mode 0${(about.mode & 0o7777).toString(8).padStart(3, '0')}: others can write to it`
  const ours = [0, nobody, process.getuid?.() ?? 0]
  return ours.includes(about.uid) ? undefined : `belongs to number ${about.uid}, who can write to it`
}
