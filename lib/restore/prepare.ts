import { localHost } from '../hosts/local.ts'
import type { Settings } from '../settings.ts'
import { asideFolder } from './aside-folder.ts'
import { gather } from './gather.ts'
import { makeRestorePlan } from './plan.ts'
import { type RestoreRequest, selectForRestore } from './request.ts'
import type { RestoreWatcher, Site } from './site.ts'
import type { Step } from './step.ts'
import type { Share } from './steps/share.ts'
import { stepsOf } from './steps.ts'

export interface PrepareOptions {
  /** Files are put below it; `/` is this machine, any other folder a drill. */
  root: string
  share?: Share
  now: Date
  watch: RestoreWatcher
}

/** Looks in all sources and makes the plan and the steps that carry it out: the same for --dry-run and the run. Changes nothing. */
export async function prepareRestore(
  settings: Settings,
  request: RestoreRequest,
  { root, share, now, watch }: PrepareOptions,
): Promise<{ site: Site; steps: Step[] }> {
  const selected = selectForRestore(request, settings)
  const { sources, ...findings } = await gather(selected, settings, root, request.at ?? now)
  const site: Site = {
    plan: makeRestorePlan(selected, request, findings, settings, root, now),
    request,
    settings,
    ...(share ? { share } : {}),
    root,
    drill: root !== '/',
    sources,
    away: findings.away,
    host: localHost({ name: 'verda', root }),
    aside: await asideFolder(root, now),
    outcomes: new Map(),
    watch,
  }
  return { site, steps: stepsOf(site) }
}
