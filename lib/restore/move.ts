import { rename } from 'node:fs/promises'
import { execa } from 'execa'
import { toolEnvironment } from '../hosts/environment.ts'
import { CannotUnpack } from './bad-archive.ts'
import { bytes, latin1, utf8 } from './bytes.ts'

/** A rename; between two file systems a copy. Paths are latin1 strings. */
export async function move(from: string, to: string): Promise<void> {
  try {
    await rename(bytes(from), bytes(to))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EBUSY')
      throw new CannotUnpack(
        `${utf8(from)} or ${utf8(to)} is a mount point, which cannot be moved: unmount it, then run this again`,
      )
    if (code !== 'EXDEV') throw error
    for (const name of [from, to]) {
      if (latin1(utf8(name)) !== name)
        throw new CannotUnpack(
          `${utf8(name)} lies on another file system and has a name that is not UTF-8: move it by hand`,
        )
    }
    await execa('cp', ['-a', '--', utf8(from), utf8(to)], { stdin: 'ignore', ...toolEnvironment() })
    await execa('rm', ['-rf', '--', utf8(from)], { stdin: 'ignore', ...toolEnvironment() })
  }
}
