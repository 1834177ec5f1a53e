import { chmod, readdir, stat } from 'node:fs/promises'
import { noteAgain } from '../bring-back.ts'
import { below, type Site } from '../site.ts'
import type { Step } from '../step.ts'
import { has, must, sh, stateOf } from '../system.ts'
import { bringBackInWords, isBackInWords } from './files.ts'

/** The host keys, with the modes that sshd insists on. They are never generated here: another key locks out everybody who knew the old one. */
export function sshStep(site: Site): Step {
  const folder = below(site.root, '/etc/ssh')
  return {
    name: 'ssh-host-keys',
    title: 'SSH host keys into /etc/ssh; reloads ssh, whose open sessions go on',
    items: ['ssh-host-keys'],
    done: () => isBackInWords(site, 'ssh-host-keys'),
    async do() {
      const done = await bringBackInWords(site, 'ssh-host-keys')
      if (await closeToOthers(await privateKeys(folder))) await noteAgain(site, 'ssh-host-keys')
      for (const unit of ['ssh', 'sshd']) {
        if ((await stateOf(unit)) !== 'active') continue
        await must(sh`systemctl reload ${unit}`)
        return { ...done, said: `${done.said}; ${unit} reloaded` }
      }
      // Ubuntu starts ssh with the first connection: ssh.socket waits for that.
      const waits = (await stateOf('ssh.socket')) === 'active'
      return {
        ...done,
        said: `${done.said}; ssh ${waits ? 'starts with the next connection' : 'does not run here'}`,
      }
    },
    async check() {
      if (!(await has('ssh-keygen'))) return
      for (const key of await privateKeys(folder)) await must(sh`ssh-keygen -y -P '' -f ${key} >/dev/null`)
    },
  }
}

/** Whether any mode had to be changed: a change of what is right already would look like somebody else's the next time. */
async function closeToOthers(keys: readonly string[]): Promise<boolean> {
  let changed = false
  for (const key of keys) {
    if (((await stat(key)).mode & 0o777) === 0o600) continue
    await chmod(key, 0o600)
    changed = true
  }
  return changed
}

async function privateKeys(folder: string): Promise<string[]> {
  const found = await readdir(folder, { withFileTypes: true })
  // What a link leads to is not ours to change.
  const keys = found.filter((entry) => entry.isFile() && /^ssh_host_.*_key$/.test(entry.name))
  return keys.map(({ name }) => `${folder}/${name}`)
}
