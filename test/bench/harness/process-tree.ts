import { readdirSync, readFileSync } from 'node:fs'

/**
 * The memory of a process and of all that descend from it, in bytes: the sum of their proportional set sizes (PSS), in which a page that several of them share
 * counts once. Where the kernel does not show that, the resident set size (RSS) counts. What has ended counts for nothing.
 */
export function treeMemory(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + memoryOf(pid), 0)
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!(pid > 0)) continue
    // The name of the program, in brackets, may hold spaces and brackets of its own.
    const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? []
    const parent = Number(fields[1])
    children.set(parent, [...(children.get(parent) ?? []), pid])
  }
  const tree = [root]
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

function memoryOf(pid: number): number {
  const kilobytes =
    /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ??
    /^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${pid}/status`))?.[1]
  return Number(kilobytes ?? 0) * 1024
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
