import type { CommandName, HostName } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import type { Host } from './host.ts'
import { localHost } from './local.ts'
import { sshHost } from './ssh.ts'

/** The host on which each command runs. */
const home: Record<CommandName, HostName> = {
  'backup-cron': 'verda',
  'backup-verda': 'mello',
  'backup-mello': 'mello',
}

/** Opens hosts on first use: the command's own machine, and Verda through ssh unless VERDA_SSH is `local`. */
export function openHosts(
  settings: Settings,
  command: CommandName,
): { get(name: HostName): Host; close(): Promise<void> } {
  const opened = new Map<HostName, Host>()
  const open = (name: HostName): Host => {
    const root = settings.roots[name]
    if (name === home[command]) return localHost({ name, root })
    if (name === 'verda' && settings.verdaSsh !== 'local')
      return sshHost({ name, root, destination: settings.verdaSsh })
    // Verda's files need root. A drill's files belong to the user who runs it.
    return localHost({ name, root, sudo: root === '/' && process.getuid?.() !== 0 })
  }
  return {
    get(name) {
      const host = opened.get(name) ?? open(name)
      opened.set(name, host)
      return host
    },
    async close() {
      await Promise.all([...opened.values()].map((host) => host.close()))
    },
  }
}
