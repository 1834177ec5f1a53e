import { readdir } from 'node:fs/promises'
import path from 'node:path'
import { type Finding, ok, wrong } from '../../cli/finding.ts'
import { sh } from '../../hosts/shell.ts'
import { messageOf } from '../../text.ts'
import { plannedItem, type RestoreContext } from '../context.ts'
import { missingModels, modelsWanted } from '../plan/models.ts'
import type { CheckOutcome } from '../report.ts'
import { hasOurs } from './crontab.ts'
import { firewallRules, isFirewallOn, runningJails } from './firewall.ts'
import { engineOf, isLoaded } from './images.ts'
import { mounted } from './share.ts'
import { isUp, tailscaledHere } from './tailscaled.ts'

/** What must hold before the workshop opens, checked again after all steps. */
export async function checklist(context: RestoreContext): Promise<CheckOutcome[]> {
  const checks = { address, firewall, jails, share, models, images, project, cron }
  const outcomes: CheckOutcome[] = []
  for (const [name, look] of Object.entries(checks)) {
    const outcome = await look(context).then(
      (finding) => ({ ...finding, name }),
      (error) => ({ status: 'wrong' as const, what: messageOf(error), name }),
    )
    outcomes.push(outcome)
    context.watch.checked(outcome)
  }
  return outcomes
}

function judged(isOk: boolean, what: string, todo: string): Finding {
  return { status: isOk ? 'ok' : 'wrong', what, todo }
}

async function address({ settings }: RestoreContext): Promise<Finding> {
  const { expectedAddress } = settings.tailscale
  const here = await tailscaledHere()
  const is = here.address ?? 'no address on the tailnet'
  return judged(
    isUp(here, expectedAddress),
    `${is}${is === expectedAddress || here.address === undefined ? '' : `, not ${expectedAddress}`}${here.state === 'Running' ? '' : ` (tailscaled: ${here.state})`}`,
    'tailscale status; comfyume-backup restore --only tailscale',
  )
}

async function firewall(): Promise<Finding> {
  const rules = await firewallRules()
  const more = rules.length > 4 ? `, and ${rules.length - 4} more` : ''
  return (await isFirewallOn())
    ? ok(`active: ${rules.slice(0, 4).join(', ') || 'no rules of its own'}${more}`)
    : wrong('off', 'ufw show added; if these rules let ssh in: ufw --force enable')
}

async function jails(): Promise<Finding> {
  const names = await runningJails()
  return judged(
    names.length > 0,
    names.length > 0 ? names.join(', ') : 'fail2ban runs no jail',
    'fail2ban-client status; comfyume-backup restore --only fail2ban',
  )
}

async function share({ settings, request }: RestoreContext): Promise<Finding> {
  const { root, requireMount } = settings.sfs
  if (request.skipSfs || !requireMount) return ok('not asked for')
  const what = await mounted(root)
  return judged(
    what !== undefined,
    what === undefined ? `${root} is not mounted` : `${what} at ${root}`,
    'share it with this instance in Verda\'s console ("share settings"), then: mount -a',
  )
}

async function models(context: RestoreContext): Promise<Finding> {
  const wanted = await modelsWanted({ ...context, limit: context.plan.at })
  if (wanted.shelves.length === 0)
    return wrong('their list is unavailable', 'mount the share, or set the key of R2')
  const { missing, count } = await missingModels(wanted)
  // A share that lost a model lacks it in its own list too.
  const isCompared = wanted.shelves.some(({ name }) => name !== 'sfs')
  return judged(
    missing.length === 0 && count > 0,
    missing.length === 0
      ? isCompared
        ? `${count} of ${count}`
        : `${count} on the share; no other store could be asked whether these are all`
      : `${missing.length} of ${count} missing: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''}`,
    'comfyume-backup restore --only models',
  )
}

async function images({ plan, settings }: RestoreContext): Promise<Finding> {
  const engine = settings.containerEngine ?? (await engineOf(settings)) ?? 'podman'
  const { stdout } = await sh`${engine} image ls --format '{{.Repository}}'`
  const there = stdout.split('\n').filter((name) => name.includes('comfyume'))
  const missing: string[] = []
  for (const one of plan.items.filter(({ kind }) => kind === 'image'))
    if (!(await isLoaded(engine, one))) missing.push(one.item)
  return judged(
    there.length > 0 && missing.length === 0,
    there.length > 0
      ? `${new Set(there).size} of this project in ${engine}${missing.length > 0 ? `, without ${missing.join(', ')}` : ''}`
      : `none of this project in ${engine}`,
    'comfyume-backup restore --only containers',
  )
}

async function project({ settings }: RestoreContext): Promise<Finding> {
  const folder = settings.projectDir.verda
  const names = await readdir(folder).catch(() => [])
  const there = names.some((name) => /^(docker-)?compose.*\.ya?ml$/.test(name))
  return judged(
    there,
    there ? folder : `no compose file in ${folder}`,
    `git clone the project into ${folder}`,
  )
}

async function cron(context: RestoreContext): Promise<Finding> {
  const file = path.resolve(import.meta.dirname, '../../../crontab/verda')
  const isThere = await hasOurs(file)
  const toolkit = plannedItem(context, 'scripts') === undefined ? '' : ` in ${context.settings.toolkitDir}`
  return judged(
    isThere,
    isThere ? "the backups are in root's crontab" : "root's crontab lacks the backups",
    `crontab ${file}${toolkit}`,
  )
}
