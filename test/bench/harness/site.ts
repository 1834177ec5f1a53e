import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { buildVerda, environment, settle } from '../../scripts/verda.ts'

export type Site = ReturnType<typeof openSite>

const project = path.resolve(import.meta.dirname, '../../..')

/** A Verda, also serving as Mello, in its own folder, without this machine's settings. */
export function openSite(folder: string, lay: (home: string, root: string) => void) {
  const verda = buildVerda({ folder })
  const home = path.join(verda.root, 'home/dev')
  lay(home, verda.root)
  settle()
  const mello = path.join(folder, 'mello')
  return {
    folder,
    root: verda.root,
    home,
    cache: verda.cache,
    mello,
    /** A folder for the output of other programs. */
    out: path.join(folder, 'out'),
    env: (settings: Record<string, string> = {}): NodeJS.ProcessEnv =>
      environment(verda, { BACKUP_NOW: '', VERDA_SSH: 'local', MELLO_BACKUPS: mello, ...settings }),
    /** As in the crontabs. */
    command: (name: string, ...args: string[]) =>
      [`${project}/node_modules/.bin/tsx`, `${project}/scripts/${name}.ts`, '--quiet', ...args].join(' '),
    /** Empties the stores. */
    clear() {
      for (const each of ['out', 'mello', 'sfs', 'state', 'cache']) {
        rmSync(path.join(folder, each), { recursive: true, force: true })
        mkdirSync(path.join(folder, each))
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** Total bytes of all files below a folder. */
export function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(path.join(parentPath, name)).size, 0)
}
