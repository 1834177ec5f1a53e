import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, makePlan } from '../backup/plan.ts'
import { selectItems } from '../backup/select.ts'
import { type Finding, NotChecked } from '../cli/finding.ts'
import type { Host } from '../hosts/host.ts'
import { localHost } from '../hosts/local.ts'
import { openHosts } from '../hosts/open.ts'
import { type CommandName, type HostName, items, type StoreName } from '../inventory.ts'
import { examineSettings, type SettingProblem, type Settings } from '../settings/settings.ts'
import { remembered } from '../text.ts'
import { type ObjectStores, openObjectStores } from './object-stores.ts'

/** Which commands run where. */
const commandsOn: Record<HostName, readonly CommandName[]> = {
  verda: ['backup-cron'],
  mello: ['backup-verda', 'backup-mello'],
}

/** What is known about the installation without examining it. */
export interface Installation {
  on: HostName
  /** Why it is considered that machine. */
  because: string
  toolkit: string
  environment: Record<string, string | undefined>
  /** The values in `.env` itself. */
  file: Record<string, string>
  /** Found when reading `.env`. */
  fileProblems: SettingProblem[]
}

/** What checks examine, and how they reach it. */
export interface Context extends Installation, AsyncDisposable {
  settings: Settings
  settingProblems: SettingProblem[]
  /** Every item that this machine's commands back up, with source and target. */
  jobs: Job[]
  /** This machine, as the current user. */
  here: Host
  /** A host that answers. Throws NotChecked while it is unreachable. */
  host(name: HostName): Promise<Host>
  /** The same, but throws the reason why it is unreachable. */
  reach(name: HostName): Promise<{ host: Host; seconds: number; hostName: string }>
  objectStores: ObjectStores
}

/** A check's findings: one or several. */
export type Findings = Finding | readonly Finding[]

/** One question about the installation. Checks are independent and may run at the same time. */
export interface Check {
  name: string
  /** What it checks, for --dry-run. */
  what: string
  /** Settings it depends on. It does not run while one of them is wrong. */
  uses?: readonly string[]
  /** Seconds until doctor stops waiting for it. */
  limit?: number
  /** Anything it throws also becomes a finding. */
  check(context: Context): Promise<Findings> | Findings
}

/** The export of a file in checks/: the checks of its group that apply to an installation. */
export type Checks = (context: Context) => readonly Check[]

/** For closing the connections of abandoned checks. */
const closeMs = 2_000

/** Longer than ssh's own connection timeout. */
const answerSeconds = 20

export function openContext(installation: Installation): Context {
  const { on, environment, fileProblems } = installation
  const needed: StoreName[] = on === 'mello' ? ['mello', 'r2'] : ['sfs']
  const { settings, problems } = examineSettings(environment, needed)
  const hosts = openHosts(settings, commandsOn[on][0] as CommandName)
  const objectStores = openObjectStores(settings)

  const reach = remembered(async (name: HostName) => {
    const host = hosts.get(name)
    const before = performance.now()
    const { stdout } = await host.run('uname -n', [], { timeout: answerSeconds })
    return { host, seconds: (performance.now() - before) / 1000, hostName: stdout.toString().trim() }
  })

  return {
    ...installation,
    settings,
    settingProblems: [...fileProblems, ...problems],
    jobs: jobsOn(on, settings),
    here: localHost({ name: on, root: settings.roots[on] }),
    reach,
    host: (name) =>
      reach(name).then(
        ({ host }) => host,
        () => {
          throw new NotChecked(
            `${name} is unreachable`,
            'fix this first: comfyume-backup doctor --only hosts',
          )
        },
      ),
    objectStores,
    async [Symbol.asyncDispose]() {
      const closed = Promise.all([hosts.close(), objectStores.close()])
      await Promise.race([closed, sleep(closeMs)])
    },
  }
}

function jobsOn(on: HostName, settings: Settings): Job[] {
  return commandsOn[on].flatMap((command) => {
    const only = items.filter(({ commands }) => commands[command]).map(({ name }) => name)
    return makePlan(command, selectItems({ command, only }), settings, new Date()).jobs
  })
}
