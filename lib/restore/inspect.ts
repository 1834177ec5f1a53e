import path from 'node:path'
import { execa } from 'execa'
import { BadArchive } from './bad-archive.ts'
import { printable, utf8 } from './bytes.ts'

/**
 * Looks through an unpacked tree, whose members count from the folder `base` below the root, for what no backup of ours holds: device nodes, and links that climb above
 * the root. Throws BadArchive that names the first. Absolute links are left as they are: homes and /etc are full of them, and nothing is written through one.
 */
export async function inspect(tree: string, base: string): Promise<void> {
  const { stdout } = await execa(
    'find',
    [
      tree,
      '(',
      '-type',
      'b',
      '-o',
      '-type',
      'c',
      ')',
      '-printf',
      'device %P\\0',
      '-o',
      '-type',
      'l',
      '-printf',
      'link %P\\0%l\\0',
    ],
    { stdin: 'ignore', encoding: 'latin1', maxBuffer: 1 << 30 },
  )
  const words = stdout.split('\0')
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string
    if (word.startsWith('device ')) throw new BadArchive(`it holds ${shown(word.slice(7))}, a device`)
    if (!word.startsWith('link ')) continue
    const target = words[++index] as string
    const member = word.slice(5)
    const leads = path.posix.normalize(path.posix.join(base, path.posix.dirname(member), target))
    if (!target.startsWith('/') && (leads === '..' || leads.startsWith('../')))
      throw new BadArchive(`it holds ${shown(member)}, a link that leads outside, to ${shown(target)}`)
  }
}

function shown(name: string): string {
  return printable(utf8(name))
}
