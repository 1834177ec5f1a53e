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
      const unit = (await stateOf('ssh')) === 'active' ? 'ssh' : 'sshd'
      if ((await stateOf(unit)) !== 'active') return { ...done, said: `${done.said}; ssh does not run here` }
      await must(sh`systemctl reload ${unit}`)
      return { ...done, said: `${done.said}; ${unit} reloaded` }
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
  const names = await readdir(folder)
  return names.filter((name) => /^ssh_host_.*_key$/.test(name)).map((name) => `${folder}/${name}`)
}
