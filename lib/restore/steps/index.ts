import { items } from '../../inventory.ts'
import { plannedItem, type RestoreContext, type Step } from '../context.ts'
import { bringBack, isBackAlready } from '../files/bring-back.ts'
import { credentialsStep } from './credentials.ts'
import { crontabStep } from './crontab.ts'
import { fail2banStep, homesBringLogs, jailsStep, ufwStep } from './firewall.ts'
import { imageStep } from './images.ts'
import { modelsStep } from './models.ts'
import { packagesStep } from './packages.ts'
import { comesWithHome, projectStep } from './project.ts'
import { shareOf, shareStep } from './share.ts'
import { sshStep } from './ssh.ts'
import { tailscaleStep } from './tailscale.ts'
import { toolkitStep } from './toolkit.ts'
import { userStep } from './user.ts'

/**
 * A restore's steps in order: identity before daemon, users before their files, homes after what is inside
 * them. A drill has only those that restore files; a selection of items only theirs.
 */
export function stepsOf(context: RestoreContext): Step[] {
  const { drill, request } = context
  const asked = new Set(context.plan.items.map(({ item }) => item))
  const onMachine = (...steps: Step[]) => (drill ? [] : steps)
  const onWhole = (...steps: Step[]) => (drill || request.only !== undefined ? [] : steps)
  const of = (item: string, step: (context: RestoreContext) => Step) =>
    asked.has(item) ? [drill ? filesStep(context, item) : step(context)] : []
  const files = (...names: string[]) =>
    names.filter((name) => asked.has(name)).map((name) => filesStep(context, name))
  const images = items.filter(({ name, capture }) => capture.kind === 'image' && asked.has(name))
  const withHome = comesWithHome(context)

  if (request.path !== undefined) return files(...asked)
  return [
    ...(request.skipSfs || !context.settings.sfs.requireMount
      ? []
      : onWhole(shareStep(context, shareOf(context.settings, context.share)))),
    ...onWhole(packagesStep(context)),
    ...of('tailscale', tailscaleStep),
    ...of('ssh-host-keys', sshStep),
    ...of('ufw', ufwStep),
    ...of('fail2ban', fail2banStep),
    ...(asked.has('home-dev') ? onMachine(userStep(context)) : []),
    ...files('env', 'ssl', 'nginx'),
    ...(asked.has('credentials') ? [credentialsStep(context)] : []),
    ...(withHome ? [] : onWhole(projectStep(context))),
    ...images.map(({ name }) => imageStep(context, name)),
    ...(asked.has('models') ? [modelsStep(context)] : []),
    ...files('user-data', 'user-outputs', 'home-dev', 'root-home'),
    ...(asked.has('fail2ban') && homesBringLogs(context) ? onMachine(jailsStep(context)) : []),
    ...(withHome ? onWhole(projectStep(context)) : []),
    ...(asked.has('scripts') ? [toolkitStep(context)] : []),
    ...onWhole(crontabStep(context)),
  ]
}

/** Brings an item's files back, or those of `--path`: existing ones that differ are put aside. */
function filesStep(context: RestoreContext, item: string): Step {
  const { path } = context.request
  return {
    name: item,
    title: path === undefined ? (plannedItem(context, item)?.title ?? item) : `Files that match ${path}`,
    items: [item],
    done: async () => (path === undefined ? isBackAlready(context, item) : undefined),
    do: () => bringBack(context, item),
  }
}
