import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'

/** Runs bash in a folder that is made for it. */
export const make = (below: string, script: string) => {
  mkdirSync(below, { recursive: true })
  execFileSync('bash', ['-c', `set -e; cd "$1"; ${script}`, 'make', below], {
    env: { ...process.env, LC_ALL: 'C' },
  })
}

/** All that a file system says of a tree, but for inodes, ctimes and atimes, and for sizes of folders. */
export const stateOf = (below: string) =>
  execFileSync(
    'bash',
    [
      '-c',
      `cd "$1" && find . \\( -type d -printf '%P %y %m %U %G %T@\\n' \\) -o -printf '%P %y %m %U %G %s %n %T@ %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 -r sha256sum`,
      'state',
      below,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  ).toString('latin1')
