import { readdirSync, readFileSync } from 'node:fs'

/**
 * Memory of a process tree in bytes: the sum of proportional set sizes (PSS), which count shared pages once,
 * or of resident set sizes (RSS) where the kernel hides PSS. Skips processes that have ended.
 */
export function treeMemory(root: number): number {
  return treeOf(root).reduce((sum, pid) => sum + memoryOf(pid), 0)
}

function treeOf(root: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!(pid > 0)) continue
    // The program's name, in brackets, may contain spaces and brackets.
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
