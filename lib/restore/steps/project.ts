import { stat } from 'node:fs/promises'
import path from 'node:path'
import { must, sh } from '../../hosts/shell.ts'
import { below, plannedItem, type RestoreContext, Skip, type Step } from '../context.ts'
import { asOwner, ownerOf, withClone } from './clone.ts'

/**
 * Clones the project around existing files such as its .env. If the project comes back with /home/dev,
 * including its history and uncommitted work, this step runs after the homes and does nothing.
 */
export function projectStep(context: RestoreContext): Step {
  const folder = below(context.root, context.settings.projectDir.verda)
  const repository = context.settings.repositories.project
  return {
    name: 'project',
    title: `Project in ${folder}, by git where no backup brings it`,
    items: [],
    async done() {
      return (await isThere(path.join(folder, '.git'))) ? `${folder} is there` : undefined
    },
    async do() {
      if (repository === undefined)
        throw new Skip(
          `PROJECT_REPO is not set, and ${folder} is no git repository: clone the project by hand`,
        )
      const owner = await ownerOf(folder)
      await withClone(repository, { flags: ['--no-checkout'], owner }, (clone) =>
        must(sh`tar -C ${clone}/.git -c . | ${asOwner(owner)} bash --norc -p -ec ${checkOut} bash ${folder}`),
      )
      return { said: `cloned into ${folder}`, changed: true }
    },
  }
}

/**
 * Runs as the folder's owner, so it writes to no one else's files and owns all it makes. Checks out only what
 * is missing: files from a backup stay as they are.
 */
const checkOut = `
mkdir -p -- "$1"
cd -- "$1"
rm -rf .git.restoring
mkdir .git.restoring
tar -C .git.restoring -x
export GIT_DIR=.git.restoring GIT_WORK_TREE=. HOME=/nonexistent
git reset --quiet
git ls-files --deleted -z | xargs -0 -r git checkout --quiet --
mv .git.restoring .git
`

/** Whether the project comes back with /home/dev. */
export function comesWithHome(context: RestoreContext): boolean {
  const home = plannedItem(context, 'home-dev')
  return (home?.candidates.length ?? 0) > 0 && context.settings.projectDir.verda.startsWith('/home/dev/')
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}
