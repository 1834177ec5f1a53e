import { lstat } from 'node:fs/promises'
import { isIPv4 } from 'node:net'

/** NFS maps root's files to this number unless the share trusts root. */
const nobody = 65534

/**
 * Why users other than root and this one could change a file or add to a folder. Undefined when they cannot,
 * when it does not exist, and for a link. A group of this user's own counts as this user.
 */
export async function unsafePermissions(file: string): Promise<string | undefined> {
  const about = await lstat(file).catch(() => undefined)
  if (about === undefined || about.isSymbolicLink()) return undefined
  const strangersInGroup = ![0, process.getgid?.()].includes(about.gid)
  if ((about.mode & 0o002) !== 0 || ((about.mode & 0o020) !== 0 && strangersInGroup))
    return `has mode ${modeOf(about)}: others can write to it`
  // Anyone but root must accept what root or they themselves set up.
  if (process.getuid?.() !== 0 || [0, nobody].includes(about.uid)) return undefined
  return `belongs to user number ${about.uid}, who can write to it`
}

/** `0644`, `01777`. */
export function modeOf({ mode }: { mode: number }): string {
  return `0${(mode & 0o7777).toString(8).padStart(3, '0')}`
}

/** Whether others can read and fake traffic to an address: http beyond this machine and the tailnet. */
export function isInTheClear(address: string): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, hostname } = new URL(address)
  if (protocol !== 'http:') return false
  const [first = 0, second = 0] = isIPv4(hostname) ? hostname.split('.').map(Number) : []
  const here = /(?:^|\.)localhost$/.test(hostname) || hostname === '[::1]' || first === 127
  const tailnet = (first === 100 && second >= 64 && second < 128) || hostname.endsWith('.ts.net')
  return !here && !tailnet
}
