import path from 'node:path'
import { matcher } from '../capture/pattern.ts'
import type { Source } from '../inventory.ts'

/** How many folders deep the path of a member must be known to tell where it belongs; see headsOf. */
export function depthOf(sources: readonly Source[]): number {
  return Math.max(...sources.map(({ path: source }) => source.split('/').length))
}

/**
 * The folder from which an archive's member paths count, without slashes at its ends: empty for archives of this toolkit, whose paths are relative to `/`. The
 * older scripts packed relative to a folder further down (`tailscale/…` to /var/lib, `ssh_host_*` to /etc/ssh), which shows in that everything
 * then lies within the item's sources. Undefined when no folder makes it so: then it is not this item's archive.
 *
 * `heads`: the beginnings of the members' paths, depthOf(sources) folders deep. That of a folder ends with a slash: a link or a file above a source
 * is not on the way to it.
 */
export function baseOf(sources: readonly Source[], heads: Iterable<string>): string | undefined {
  const members = [...heads]
  return basesOf(sources).find((base) => {
    const paths = members.map((head) => (base === '' ? head : `${base}/${head}`))
    return (
      paths.every((member) => isWayTo(sources, member) || isWithin(sources, member)) &&
      paths.some((member) => isWithin(sources, member))
    )
  })
}

function isWayTo(sources: readonly Source[], head: string): boolean {
  return head.endsWith('/') && isOnTheWay(sources, head.slice(0, -1))
}

/** Whether a path below the root is one of the folders above a source. */
export function isOnTheWay(sources: readonly Source[], member: string): boolean {
  return sources.some(({ path: source, match }) => {
    const own = relative(source)
    return own.startsWith(`${member}/`) || (match !== undefined && own === member)
  })
}

/** Whether a path below the root is a source or lies in one. */
function isWithin(sources: readonly Source[], head: string): boolean {
  const member = head.replace(/\/$/, '')
  return sources.some(({ path: source, match }) => {
    const own = relative(source)
    if (match === undefined) return `${member}/`.startsWith(`${own}/`)
    if (!member.startsWith(`${own}/`)) return false
    return matcher(match).test(member.slice(own.length + 1).split('/')[0] as string)
  })
}

/** From `/` down to the folders that hold the sources; a source's inside only where the archive must have certain members, which tell. */
function basesOf(sources: readonly Source[]): string[] {
  const bases = sources.flatMap(({ path: source, match, mustHave }) => {
    const whole = relative(source).split('/')
    const deepest = match !== undefined || mustHave ? whole.length : whole.length - 1
    return Array.from({ length: deepest + 1 }, (_, depth) => whole.slice(0, depth).join('/'))
  })
  return [...new Set(bases)].sort((a, b) => a.length - b.length)
}

function relative(source: string): string {
  return path.posix.relative('/', source)
}
