import path from 'node:path'
import { execa } from 'execa'
import { toolEnvironment } from '../hosts/environment.ts'
import { printable, utf8 } from './bytes.ts'

/** A member of an unpacked tree that no backup of ours holds. */
export interface StrangeMember {
  /** Below the tree, a latin1 string. */
  path: string
  /** In words: `etc/x, a device`. */
  what: string
}

/**
 * Looks through an unpacked tree, whose members count from the folder `base` below the root, for what no backup of ours holds: device nodes, and links that climb above
 * the root. Absolute links are left as they are: homes and /etc are full of them, and nothing is written through one.
 */
export async function strangeMembers(tree: string, base: string): Promise<StrangeMember[]> {
  const devices = ['(', '-type', 'b', '-o', '-type', 'c', ')', '-printf', 'device %P\\0']
  const links = ['-type', 'l', '-printf', 'link %P\\0%l\\0']
  const { stdout } = await execa('find', [tree, ...devices, '-o', ...links], {
    stdin: 'ignore',
    ...toolEnvironment(),
    encoding: 'latin1',
    maxBuffer: 1 << 30,
  })
  const strange: StrangeMember[] = []
  const words = stdout.split('\0')
  for (let index = 0; index < words.length; index++) {
    const word = words[index] as string
    const member = word.slice(word.indexOf(' ') + 1)
    if (word.startsWith('device ')) strange.push({ path: member, what: `${shown(member)}, a device` })
    if (!word.startsWith('link ')) continue
    const target = words[++index] as string
    const leads = path.posix.normalize(path.posix.join(base, path.posix.dirname(member), target))
    if (!target.startsWith('/') && (leads === '..' || leads.startsWith('../')))
      strange.push({ path: member, what: `${shown(member)}, a link that leads outside, to ${shown(target)}` })
  }
  return strange
}

/** Takes away what lets a file do more than its owner may. */
export async function withoutRights(tree: string): Promise<void> {
  await execa('find', [tree, '-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'ug-s', '{}', '+'], {
    stdin: 'ignore',
    ...toolEnvironment(),
  })
}

function shown(name: string): string {
  return printable(utf8(name))
}
