import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { buildVerda, environment, settle } from '../../scripts/verda.ts'

export type Site = ReturnType<typeof openSite>

const project = path.resolve(import.meta.dirname, '../../..')

/** A Verda in a folder of its own, that is also Mello, and how a command of this project is run on it. Nothing of this machine's settings is in force. */
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
    /** A folder for what others than this project write. */
    out: path.join(folder, 'out'),
    env: (settings: Record<string, string> = {}): NodeJS.ProcessEnv =>
      environment(verda, { BACKUP_NOW: '', VERDA_SSH: 'local', MELLO_BACKUPS: mello, ...settings }),
    /** As the crontabs have it. */
    command: (name: string, ...args: string[]) =>
      [`${project}/node_modules/.bin/tsx`, `${project}/scripts/${name}.ts`, '--quiet', ...args].join(' '),
    /** Empties what backups are written to. */
    clear() {
      for (const each of ['out', 'mello', 'sfs', 'state', 'cache']) {
        rmSync(path.join(folder, each), { recursive: true, force: true })
        mkdirSync(path.join(folder, each))
      }
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** The bytes of all files below a folder. */
export function bytesIn(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(path.join(parentPath, name)).size, 0)
}
