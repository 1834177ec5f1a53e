import type { Host } from '../hosts/host.ts'
import { localHost } from '../hosts/local.ts'
import { openHosts } from '../hosts/open.ts'
import type { CommandName, HostName, StoreName } from '../inventory.ts'
import { items } from '../inventory.ts'
import { type Job, makePlan } from '../plan.ts'
import { selectItems } from '../select.ts'
import { examineSettings, type Settings } from '../settings.ts'
import { NotChecked } from './check.ts'
import { type ObjectStores, objectStores } from './object-store-access.ts'

/** Which commands run where. */
const commandsOn: Record<HostName, readonly CommandName[]> = {
  verda: ['backup-cron'],
  mello: ['backup-verda', 'backup-mello'],
}

/** What the installation consists of, as far as it can be known without looking at it. */
export interface Installation {
  on: HostName
  /** Why it is taken to be that machine. */
  because: string
  /** This toolkit's folder. */
  toolkit: string
  environment: Record<string, string | undefined>
  /** What `.env` itself gives. */
  file: Record<string, string>
  /** Of reading `.env`. */
  fileProblems: string[]
}

/** What checks look at, and through. */
export interface Context extends Installation {
  settings: Settings
  /** Every wrong setting, its name first; what depends on them is not checked. */
  settingProblems: string[]
  /** Every item that commands of this machine back up, from where to where. */
  jobs: Job[]
  /** This machine, as the user who runs this. */
  here: Host
  /** A host, once it has answered. Throws NotChecked while it cannot be reached. */
  host(name: HostName): Promise<Host>
  /** The same, but throws why it cannot be reached. */
  reach(name: HostName): Promise<{ host: Host; seconds: number; hostName: string }>
  objectStores: ObjectStores
  close(): Promise<void>
}

export function openContext(installation: Installation): Context {
  const { on, environment, fileProblems } = installation
  const needed: StoreName[] = on === 'mello' ? ['mello', 'r2'] : ['sfs']
  const { settings, problems } = examineSettings(environment, needed)
  const hosts = openHosts(settings, commandsOn[on][0] as CommandName)
  const reached = new Map<HostName, ReturnType<Context['reach']>>()
  const stores = objectStores(settings)

  async function ask(name: HostName) {
    const host = hosts.get(name)
    const before = performance.now()
    const { stdout } = await host.run('uname -n', [], { timeout: answerSeconds })
    return { host, seconds: (performance.now() - before) / 1000, hostName: stdout.toString().trim() }
  }

  function reach(name: HostName) {
    const asked = reached.get(name) ?? ask(name)
    reached.set(name, asked)
    return asked
  }

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
          throw new NotChecked(`${name} cannot be reached`, `mend "hosts ${name}" first`)
        },
      ),
    objectStores: stores,
    async close() {
      await Promise.all([hosts.close(), stores.close()])
    },
  }
}

/** More than ssh takes to give up connecting. */
const answerSeconds = 20

function jobsOn(on: HostName, settings: Settings): Job[] {
  return commandsOn[on].flatMap((command) => {
    const only = items.filter(({ commands }) => commands[command]).map(({ name }) => name)
    return makePlan(command, selectItems({ command, only }), settings, new Date()).jobs
  })
}
