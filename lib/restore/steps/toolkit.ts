import { copyFile, mkdir, rename } from 'node:fs/promises'
import path from 'node:path'
import { withClone } from '../clone.ts'
import { below, plannedItem, type Site } from '../site.ts'
import type { Step } from '../step.ts'
import { must, sh } from '../system.ts'
import { bringBackInWords, isBackInWords } from './files.ts'

/** This toolkit where cron looks for it. It may be what is running just now: then it is there. */
export function toolkitStep(site: Site): Step {
  const { toolkitDir, repositories } = site.settings
  const running = path.resolve(import.meta.dirname, '../../..')
  return {
    name: 'scripts',
    title: `This toolkit in ${toolkitDir}`,
    items: ['scripts'],
    async done() {
      if (running !== below(site.root, toolkitDir)) return isBackInWords(site, 'scripts')
      site.outcomes.set('scripts', { item: 'scripts', status: 'unchanged' })
      return 'this very toolkit runs from there'
    },
    do: () =>
      bringBackInWords(site, 'scripts', {
        fromRepository: (tree) =>
          clone(repositories.scripts as string, path.join(tree, toolkitDir), site.drill),
      }),
    async check() {
      if (plannedItem(site, 'scripts')?.leftOut === undefined)
        await must(sh`test -e ${below(site.root, toolkitDir)}/package.json`)
    },
  }
}

/** With its dependencies, and the Node runtime that runs this; a drill downloads no packages. */
async function clone(repository: string, folder: string, drill: boolean): Promise<void> {
  await mkdir(path.dirname(folder), { recursive: true })
  await withClone(repository, { near: path.dirname(folder) }, (made) => rename(made, folder))
  if (drill) return
  await must(sh`cd ${folder} && npm ci --omit=dev --no-progress`)
  await mkdir(path.join(folder, 'bin'), { recursive: true })
  await copyFile(process.execPath, path.join(folder, 'bin/node'))
}
