import { access, constants, mkdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { RequestError } from '../select.ts'

/** The folder of a drill need not be there, but what is there of it must be folders that can be written to. */
export async function checkRoot(root: string): Promise<void> {
  for (let folder = root; ; folder = path.dirname(folder)) {
    const about = await stat(folder).catch((error: NodeJS.ErrnoException) => error.code)
    if (about === 'ENOENT') continue
    const wrong = (why: string) => new RequestError(`--root ${root}: ${folder} ${why}`)
    if (typeof about === 'object' ? !about.isDirectory() : about === 'ENOTDIR') throw wrong('is no folder')
    if (typeof about !== 'object') throw wrong(`cannot be looked at (${about})`)
    await access(folder, constants.W_OK | constants.X_OK).catch(() => {
      throw wrong('cannot be written to')
    })
    return
  }
}

/** Folder by folder: in some places, such as /proc, a whole path at once is tried for ever. */
export async function makeRoot(root: string): Promise<void> {
  if (await stat(root).catch(() => undefined)) return
  await makeRoot(path.dirname(root))
  await mkdir(root).catch((error: NodeJS.ErrnoException) => {
    throw new RequestError(`--root ${root} cannot be made (${error.code})`)
  })
}
