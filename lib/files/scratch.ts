import { readFileSync } from 'node:fs'
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { run } from '../hosts/process.ts'

/** The start of a scratch folder's name. */
type Purpose = '.comfyume-restore' | 'comfyume-credentials' | 'comfyume-drill' | 'comfyume-ssh'

/**
 * Calls `use` with a new private folder in `parent`, then removes it. Sweeps up killed runs' folders first.
 */
export async function withScratch<T>(
  parent: string,
  purpose: Purpose,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await makeScratch(parent, purpose)
  try {
    return await use(folder)
  } finally {
    await removeTree(folder)
  }
}

/** The caller removes the folder. The owner is in its name, so that sweepScratch sees if it is alive. */
export async function makeScratch(parent: string, purpose: Purpose): Promise<string> {
  await sweepScratch(parent, purpose)
  return mkdtemp(path.join(parent, `${purpose}-${process.pid}@${startTime(process.pid)}-`))
}

/** Removes this user's scratch folders of dead processes: they may contain keys and passwords. */
export async function sweepScratch(parent: string, purpose: Purpose): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(`${purpose}-`)) continue
    const [, pid, start] = /^(\d+)@(\d+)-/.exec(name.slice(purpose.length + 1)) ?? []
    if (pid === undefined || isAlive(Number(pid), Number(start))) continue
    const folder = path.join(parent, name)
    const is = await lstat(folder).catch(() => undefined)
    if (is?.isDirectory() && is.uid === process.getuid?.()) await removeTree(folder)
  }
}

/**
 * Removes one of our folders and ignores errors: clean-up must not hide why a run failed or stop the next
 * one. rm handles paths that are too long for a system call.
 */
export async function removeTree(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
    .catch(() => run(['rm', '-rf', '--one-file-system', '--', folder]))
    .catch(() => {})
}

/** A process's start in clock ticks after boot. pid and start identify it for good. 0 when it is gone. */
export function startTime(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19] ?? 0)
  } catch {
    return 0
  }
}

/** Whether a process of this host is alive. With `start` 0 (unknown), only the pid counts. */
export function isAlive(pid: number, start: number): boolean {
  const now = startTime(pid)
  return now !== 0 && (start === 0 || start === now)
}
