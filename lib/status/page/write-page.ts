import { rename, stat, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'

/**
 * Puts a page in the place of `file` at once: whoever reads it has the old one or the new one whole. It can be read by this user alone,
 * unless a file was there that others might read.
 */
export async function writePage(file: string, page: string): Promise<void> {
  const mode = await stat(file).then(
    (about) => about.mode & 0o777,
    () => 0o600,
  )
  const partial = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.partial`)
  try {
    await writeFile(partial, page, { mode, flag: 'wx' })
    await rename(partial, file)
  } catch (error) {
    await unlink(partial).catch(() => {})
    throw error
  }
}
