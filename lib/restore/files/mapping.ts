import path from 'node:path'
import { matcher } from '../../capture/capture.ts'
import type { Source } from '../../inventory.ts'

/** How many folders deep a member's path must be known to tell where it belongs; see topPathsOf. */
export function depthOf(sources: readonly Source[]): number {
  return Math.max(...sources.map(({ path: source }) => source.split('/').length))
}

/**
 * The folder that member paths are relative to: '' for this toolkit's archives. The older scripts used a
 * deeper one (such as /var/lib): the one that puts all paths within the sources. Undefined if there is none:
 * not this item's archive. `topPaths`: from topPathsOf; a slash at the end means a folder.
 */
export function baseOf(sources: readonly Source[], topPaths: Iterable<string>): string | undefined {
  const members = [...topPaths]
  return basesOf(sources).find((base) => {
    const paths = members.map((topPath) => (base === '' ? topPath : `${base}/${topPath}`))
    return (
      paths.every((member) => isWayTo(sources, member) || isWithin(sources, member)) &&
      paths.some((member) => isWithin(sources, member))
    )
  })
}

function isWayTo(sources: readonly Source[], topPath: string): boolean {
  return topPath.endsWith('/') && isOnTheWay(sources, topPath.slice(0, -1))
}

/** Whether a path below the root is a folder above a source. */
export function isOnTheWay(sources: readonly Source[], member: string): boolean {
  return sources.some(({ path: source, match }) => {
    const own = relative(source)
    return own.startsWith(`${member}/`) || (match !== undefined && own === member)
  })
}

/** Whether a path below the root is a source or inside one. */
function isWithin(sources: readonly Source[], topPath: string): boolean {
  const member = topPath.replace(/\/$/, '')
  return sources.some(({ path: source, match }) => {
    const own = relative(source)
    if (match === undefined) return `${member}/`.startsWith(`${own}/`)
    if (!member.startsWith(`${own}/`)) return false
    return matcher(match).test(member.slice(own.length + 1).split('/')[0] as string)
  })
}

/** From `/` down to the sources' parents, and into a source if the members it must have identify it. */
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
