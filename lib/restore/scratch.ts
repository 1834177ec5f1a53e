import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { startTime } from '../stores/partial.ts'

const pattern = /^\.comfyume-restore-(\d+)@(\d+)-/

/** Calls `use` with a new folder in `parent` that only this user can read; it is gone afterwards. What killed restores left there goes before. */
export async function withScratch<T>(parent: string, use: (folder: string) => Promise<T>): Promise<T> {
  await sweepScratch(parent)
  const owner = `${process.pid}@${startTime(process.pid)}`
  const folder = await mkdtemp(path.join(parent, `.comfyume-restore-${owner}-`))
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Removes the scratch folders in `parent` whose process is gone, as far as they are this user's: keys and passwords may lie in them. */
export async function sweepScratch(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const [, pid, start] = pattern.exec(name) ?? []
    if (pid === undefined || startTime(Number(pid)) === Number(start)) continue
    const folder = path.join(parent, name)
    const is = await lstat(folder).catch(() => undefined)
    if (is?.isDirectory() && is.uid === process.getuid?.()) await rm(folder, { recursive: true, force: true })
  }
}
