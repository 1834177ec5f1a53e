import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { isAlive, startTime } from './owner.ts'

/** What a scratch folder is for: it begins the folder's name. */
type Purpose =
  | '.comfyume-restore'
  | 'comfyume-credentials'
  | 'comfyume-drill'
  | 'comfyume-output'
  | 'comfyume-ssh'

/** Calls `use` with a new folder in `parent` that only this user can read; it is gone afterwards. What killed runs left there goes before. */
export async function withScratch<T>(
  parent: string,
  purpose: Purpose,
  use: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await makeScratch(parent, purpose)
  try {
    return await use(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** The same for a folder that is removed elsewhere. Its owner is in the name, so that the next run can tell whether it lives. */
export async function makeScratch(parent: string, purpose: Purpose): Promise<string> {
  await sweepScratch(parent, purpose)
  return mkdtemp(path.join(parent, `${purpose}-${process.pid}@${startTime(process.pid)}-`))
}

/** Removes the scratch folders in `parent` whose process is gone, as far as they are this user's: keys and passwords may lie in them. */
export async function sweepScratch(parent: string, purpose: Purpose): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.startsWith(`${purpose}-`)) continue
    const [, pid, start] = /^(\d+)@(\d+)-/.exec(name.slice(purpose.length + 1)) ?? []
    if (pid === undefined || isAlive(Number(pid), Number(start))) continue
    const folder = path.join(parent, name)
    const is = await lstat(folder).catch(() => undefined)
    if (is?.isDirectory() && is.uid === process.getuid?.()) await rm(folder, { recursive: true, force: true })
  }
}
