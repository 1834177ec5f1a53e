import { items } from '../inventory.ts'
import type { Site } from './site.ts'
import type { Step } from './step.ts'
import { credentialsStep } from './steps/credentials.ts'
import { crontabStep } from './steps/crontab.ts'
import { filesStep } from './steps/files.ts'
import { fail2banStep, homesBringLogs, jailsStep, ufwStep } from './steps/firewall.ts'
import { imageStep } from './steps/images.ts'
import { modelsStep } from './steps/models.ts'
import { packagesStep } from './steps/packages.ts'
import { comesWithHome, projectStep } from './steps/project.ts'
import { shareOf, shareStep } from './steps/share.ts'
import { sshStep } from './steps/ssh.ts'
import { tailscaleStep } from './steps/tailscale.ts'
import { toolkitStep } from './steps/toolkit.ts'
import { userStep } from './steps/user.ts'

/**
 * The steps of a restore in their order (DESIGN: identity before daemon, users before their files, homes after what lies in them). In a drill only those
 * that put files back; where only some items were asked for, only theirs.
 */
export function stepsOf(site: Site): Step[] {
  const { drill, request } = site
  const asked = new Set(site.plan.items.map(({ item }) => item))
  const onMachine = (...steps: Step[]) => (drill ? [] : steps)
  const onWhole = (...steps: Step[]) => (drill || request.only !== undefined ? [] : steps)
  const of = (item: string, step: (site: Site) => Step) =>
    asked.has(item) ? [drill ? filesStep(site, item) : step(site)] : []
  const files = (...names: string[]) =>
    names.filter((name) => asked.has(name)).map((name) => filesStep(site, name))
  const images = items.filter(({ name, capture }) => capture.kind === 'image' && asked.has(name))
  const withHome = comesWithHome(site)

  return [
    ...(request.skipSfs || !site.settings.sfs.requireMount
      ? []
      : onWhole(shareStep(site, shareOf(site.settings, site.share)))),
    ...onWhole(packagesStep(site)),
    ...of('tailscale', tailscaleStep),
    ...of('ssh-host-keys', sshStep),
    ...of('ufw', ufwStep),
    ...of('fail2ban', fail2banStep),
    ...(asked.has('home-dev') ? onMachine(userStep(site)) : []),
    ...files('env', 'ssl', 'nginx'),
    ...(asked.has('credentials') ? [credentialsStep(site)] : []),
    ...(withHome ? [] : onWhole(projectStep(site))),
    ...images.map(({ name }) => imageStep(site, name)),
    ...(asked.has('models') ? [modelsStep(site)] : []),
    ...files('user-data', 'user-outputs', 'home-dev', 'root-home'),
    ...(asked.has('fail2ban') && homesBringLogs(site) ? onMachine(jailsStep(site)) : []),
    ...(withHome ? onWhole(projectStep(site)) : []),
    ...(asked.has('scripts') ? [toolkitStep(site)] : []),
    ...onWhole(crontabStep(site)),
  ]
}
