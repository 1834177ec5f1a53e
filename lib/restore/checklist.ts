import path from 'node:path'
import { messageOf } from '../message.ts'
import { modelsWanted } from './model-shelves.ts'
import { missingModels } from './models.ts'
import type { CheckOutcome } from './report.ts'
import { plannedItem, type Site } from './site.ts'
import { hasOurs } from './steps/crontab.ts'
import { closedPorts, openPorts, runningJails } from './steps/firewall.ts'
import { mounted } from './steps/share.ts'
import { has, sh } from './system.ts'
import { isUp, tailscaledHere } from './tailscaled.ts'

type Finding = Omit<CheckOutcome, 'check'>

/** What has to hold before the workshop may open, looked at once more after all steps. */
export async function checklist(site: Site): Promise<CheckOutcome[]> {
  const checks = { address, firewall, jails, share, models, images, project, cron }
  const outcomes: CheckOutcome[] = []
  for (const [check, look] of Object.entries(checks)) {
    const outcome = await look(site).then(
      (finding) => ({ check, ...finding }),
      (error) => ({ check, ok: false, found: messageOf(error) }),
    )
    outcomes.push(outcome)
    site.watch.checked(outcome)
  }
  return outcomes
}

async function address({ settings }: Site): Promise<Finding> {
  const { expectedAddress } = settings.tailscale
  const here = await tailscaledHere()
  const is = here.address ?? 'no address on the tailnet'
  return {
    ok: isUp(here, expectedAddress),
    found: `${is}${is === expectedAddress || here.address === undefined ? '' : `, not ${expectedAddress}`}${here.state === 'Running' ? '' : ` (tailscaled: ${here.state})`}`,
    todo: 'restore --only tailscale; see tailscale status',
  }
}

async function firewall(): Promise<Finding> {
  const closed = await closedPorts()
  return {
    ok: closed.length === 0,
    found:
      closed.length === 0
        ? `active, lets in ${openPorts.join(', ')}`
        : `off, or does not let in ${closed.join(', ')}`,
    todo: 'ufw status; restore --only ufw',
  }
}

async function jails(): Promise<Finding> {
  const names = await runningJails()
  return {
    ok: names.length > 0,
    found: names.length > 0 ? names.join(', ') : 'fail2ban runs no jail',
    todo: 'fail2ban-client status; restore --only fail2ban',
  }
}

async function share({ settings, request }: Site): Promise<Finding> {
  const { root, requireMount } = settings.sfs
  if (request.skipSfs || !requireMount) return { ok: true, found: 'not asked for' }
  const what = await mounted(root)
  return {
    ok: what !== undefined,
    found: what === undefined ? `${root} is not mounted` : `${what} at ${root}`,
    todo: 'share it with this instance in Verda\'s console ("share settings"), then: mount -a',
  }
}

async function models(site: Site): Promise<Finding> {
  const wanted = await modelsWanted(site)
  if (wanted.shelves.length === 0)
    return {
      ok: false,
      found: 'no list of them can be had',
      todo: 'mount the share, or set the key of R2',
    }
  const { missing, count } = await missingModels(wanted)
  return {
    ok: missing.length === 0 && count > 0,
    found:
      missing.length === 0
        ? `${count} of ${count}`
        : `${missing.length} of ${count} missing: ${missing.slice(0, 3).join(', ')}${missing.length > 3 ? ', …' : ''}`,
    todo: 'restore --only models',
  }
}

async function images({ plan, settings }: Site): Promise<Finding> {
  const engine = settings.containerEngine ?? ((await has('docker')) ? 'docker' : 'podman')
  const { stdout } = await sh`${engine} image ls --format '{{.Repository}}'`
  const there = stdout.split('\n').filter((name) => name.includes('comfyume'))
  const failed = plan.items.filter(({ kind, candidates }) => kind === 'image' && candidates.length === 0)
  return {
    ok: there.length > 0 && failed.length === 0,
    found:
      there.length > 0
        ? `${new Set(there).size} of this project in ${engine}`
        : `none of this project in ${engine}`,
    todo: 'restore --only containers',
  }
}

async function project({ settings }: Site): Promise<Finding> {
  const folder = settings.projectDir.verda
  const { exitCode } = await sh`ls ${folder}/docker-compose*.y*ml ${folder}/compose*.y*ml`
  const { stdout } = await sh`ls ${folder}`
  const there = exitCode === 0 || stdout.includes('compose')
  return {
    ok: there,
    found: there ? folder : `no compose file in ${folder}`,
    todo: `git clone the project into ${folder}`,
  }
}

async function cron(site: Site): Promise<Finding> {
  const file = path.resolve(import.meta.dirname, '../../crontab/verda')
  const ok = await hasOurs(file)
  const toolkit = plannedItem(site, 'scripts') === undefined ? '' : ` in ${site.settings.toolkitDir}`
  return {
    ok,
    found: ok ? "the backups are in root's crontab" : "root's crontab lacks the backups",
    todo: `crontab ${file}${toolkit}`,
  }
}
