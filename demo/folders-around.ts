import path from 'node:path'
import { planRun, type Stage } from './stage.ts'

/** Folders above the items' sources that are in no item: unpacking recreates them. */
export function foldersAround(stage: Stage): string[] {
  const sources = planRun(stage, stage.now, ['config', 'scripts']).jobs.flatMap(({ capture }) =>
    capture.kind === 'files' ? capture.sources : [],
  )
  const whole = sources.flatMap(({ path, match }) => (match === undefined ? [path] : []))
  const around = sources.flatMap(({ path: source, match }) =>
    parents(match === undefined ? source : `${source}/.`),
  )
  return around.filter((folder) => !whole.some((held) => `${folder}/`.startsWith(`${held}/`)))
}

function parents(file: string): string[] {
  const parent = path.posix.dirname(file)
  return parent === '/' ? [] : [parent, ...parents(parent)]
}
