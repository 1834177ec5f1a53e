import path from 'node:path'
import { localHost } from '../../lib/hosts/local.ts'
import type { RestoreContext } from '../../lib/restore/context.ts'
import { gather } from '../../lib/restore/plan/gather.ts'
import { makeRestorePlan } from '../../lib/restore/plan/plan.ts'
import { type RestoreRequest, selectForRestore } from '../../lib/restore/plan/request.ts'
import { readSettings } from '../../lib/settings/settings.ts'

/** A planned drill of one item to `root`, from a share and copies of Mello below `folder`. Its notes go to `notes`. */
export async function drillOf(
  item: string,
  {
    folder,
    root,
    notes,
    now,
    asked = {},
    env = {},
  }: {
    folder: string
    root: string
    notes: string[]
    now: Date
    asked?: Partial<RestoreRequest>
    env?: Record<string, string>
  },
): Promise<RestoreContext> {
  const settings = readSettings({
    SFS_ROOT: path.join(folder, 'sfs'),
    SFS_REQUIRE_MOUNT: '0',
    MELLO_BACKUPS: path.join(folder, 'mello'),
    VERDA_ROOT: root,
    ...env,
  })
  const request: RestoreRequest = {
    prefer: 'order',
    withModels: false,
    withContainers: false,
    skipSfs: false,
    only: [item],
    from: ['sfs', 'mello'],
    ...asked,
  }
  const selected = selectForRestore(request, settings)
  const findings = await gather(selected, settings, root, request.at ?? now)
  return {
    plan: makeRestorePlan(selected, request, findings, settings, root, now),
    request,
    settings,
    root,
    drill: true,
    sources: findings.sources,
    unreachable: findings.unreachable,
    host: localHost({ name: 'verda', root }),
    aside: path.join(root, 'var/aside'),
    outcomes: new Map(),
    watch: {
      started() {},
      total() {},
      bytes() {},
      note: (text) => notes.push(text),
      stepDone() {},
      checked() {},
    },
  }
}
