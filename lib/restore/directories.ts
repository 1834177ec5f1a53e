import { rm } from 'node:fs/promises'
import { execa } from 'execa'
import { toolEnvironment } from '../hosts/environment.ts'

/**
 * Remembers the mode, owner, access lists, attributes and times of folders in an unpacked tree, which lose their times as soon as something is moved out of
 * them. Paths are relative to the tree, as latin1 strings; returns a tar file beside the tree, or undefined for no folders.
 */
export async function keepDirectories(tree: string, folders: readonly string[]): Promise<string | undefined> {
  if (folders.length === 0) return undefined
  const file = `${tree}.folders.tar`
  const list = Buffer.from(folders.map((folder) => `./${folder}\0`).join(''), 'latin1')
  await execa(
    'tar',
    [
      '--create',
      '--file',
      file,
      '--directory',
      tree,
      ...asTheyAre,
      '--no-recursion',
      '--null',
      '--no-unquote',
      '--files-from=-',
    ],
    { input: list, ...toolEnvironment() },
  )
  return file
}

/** Gives the folders below `root` what keepDirectories remembered, and forgets it. */
export async function restoreDirectories(file: string | undefined, root: string): Promise<void> {
  if (file === undefined) return
  await execa(
    'tar',
    ['--extract', '--file', file, '--directory', root, '--preserve-permissions', ...asTheyAre],
    { stdin: 'ignore', ...toolEnvironment() },
  )
  await rm(file)
}

const asTheyAre = ['--format=posix', '--numeric-owner', '--acls', '--xattrs']
