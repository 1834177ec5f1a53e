import { mounted, mountShare, shareOf, writeFstab } from '../restore/steps/share.ts'
import type { Settings } from '../settings/settings.ts'
import { ownLine } from '../text.ts'
import {
  clockStep,
  crontabStep,
  linkStep,
  needsRoot,
  packagesStep,
  runtimeStep,
  settingsStep,
} from './machine.ts'
import type { SetupStep } from './run.ts'
import { sshSteps } from './ssh.ts'

/** Verda, as root: everything an hourly backup to the share needs. */
export function verdaSteps(settings: Settings, toolkit: string): SetupStep[] {
  const values: Record<string, string | undefined> = {
    SFS_PROD: settings.sfs.prod,
    PROJECT_REPO: settings.repositories.project,
    SCRIPTS_REPO: settings.repositories.scripts,
    CREDENTIALS_REPO: settings.repositories.credentials,
  }
  return [
    packagesStep('verda'),
    clockStep(),
    runtimeStep(toolkit),
    settingsStep(toolkit, Object.keys(values), (name) => values[name] !== undefined),
    shareStep(settings),
    linkStep(toolkit),
    crontabStep(toolkit, 'verda'),
  ]
}

/** Mello, as the copies' owner: everything that sends Verda and the users' files to the object stores. */
export function melloSteps(settings: Settings, toolkit: string, user: string): SetupStep[] {
  const values: Record<string, unknown> = {
    R2_ACCESS_KEY_ID: settings.r2,
    R2_SECRET_ACCESS_KEY: settings.r2,
    CREDENTIALS_REPO: settings.repositories.credentials,
  }
  return [
    packagesStep('mello'),
    clockStep(),
    runtimeStep(toolkit),
    settingsStep(toolkit, Object.keys(values), (name) => values[name] !== undefined),
    ...sshSteps({ destination: settings.verdaSsh, address: settings.tailscale.expectedAddress, user }),
    linkStep(toolkit),
    crontabStep(toolkit, 'mello'),
  ]
}

/** The share, mounted now and after every reboot. */
function shareStep(settings: Settings): SetupStep {
  const share = shareOf(settings)
  const { root } = settings.sfs
  return {
    name: 'share',
    title: `mounted at ${root}, and in /etc/fstab`,
    async done() {
      const there = await mounted(root)
      return there === undefined ? undefined : `${there} is mounted at ${root}`
    },
    async do() {
      await needsRoot(ownLine())
      await writeFstab(settings, share)
      const problem = await mountShare(settings, share)
      if (problem !== undefined) throw new Error(problem)
      return `mounted at ${root}, and in /etc/fstab`
    },
  }
}
