import { mkdir, rename, stat } from 'node:fs/promises'
import path from 'node:path'
import { withClone } from '../clone.ts'
import { below, plannedItem, type Site } from '../site.ts'
import { Skip, type Step } from '../step.ts'
import { must, sh } from '../system.ts'

/**
 * The project from its git repository, around what is there already (its .env). Where /home/dev comes back with the project in it, with its history and what
 * nobody had committed yet, that is better; then this step comes after the homes and has nothing to do.
 */
export function projectStep(site: Site): Step {
  const folder = below(site.root, site.settings.projectDir.verda)
  const repository = site.settings.repositories.project
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
      await mkdir(folder, { recursive: true })
      await withClone(repository, { near: folder, flags: ['--no-checkout'] }, (clone) =>
        rename(path.join(clone, '.git'), path.join(folder, '.git')),
      )
      // Only what is not there: a file that a backup brought back stays.
      const git = ['git', '-c', 'safe.directory=*', '-C', folder]
      await must(sh`${git} reset --quiet`)
      await must(sh`${git} ls-files --deleted -z | xargs -0 -r ${git} checkout --quiet --`)
      const { uid, gid } = await stat(path.dirname(folder))
      await must(sh`chown -R -h ${uid}:${gid} ${folder}`)
      return { said: `cloned into ${folder}`, changed: true }
    },
  }
}

/** Whether the project comes with /home/dev. */
export function comesWithHome(site: Site): boolean {
  const home = plannedItem(site, 'home-dev')
  return (home?.candidates.length ?? 0) > 0 && site.settings.projectDir.verda.startsWith('/home/dev/')
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  )
}
