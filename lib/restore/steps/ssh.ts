import { chmod, readdir, stat } from 'node:fs/promises'
import { has, must, sh, stateOf } from '../../hosts/shell.ts'
import { below, type RestoreContext, type Step } from '../context.ts'
import { bringBack, isBackAlready, rememberAgain } from '../files/bring-back.ts'

/** The host keys, with the modes that sshd requires. Never generated here: clients reject an unknown key. */
export function sshStep(context: RestoreContext): Step {
  const folder = below(context.root, '/etc/ssh')
  return {
    name: 'ssh-host-keys',
    title: 'SSH host keys into /etc/ssh; reloads ssh, whose open sessions go on',
    items: ['ssh-host-keys'],
    done: () => isBackAlready(context, 'ssh-host-keys'),
    async do() {
      const done = await bringBack(context, 'ssh-host-keys')
      if (await closeToOthers(await privateKeys(folder))) await rememberAgain(context, 'ssh-host-keys')
      for (const unit of ['ssh', 'sshd']) {
        if ((await stateOf(unit)) !== 'active') continue
        await must(sh`systemctl reload ${unit}`)
        return { ...done, said: `${done.said}; ${unit} reloaded` }
      }
      // Ubuntu starts ssh on the first connection: ssh.socket waits for it.
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

/** Returns whether any mode changed. Correct modes stay untouched, or the item would look changed. */
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
  // Never change what a link points to.
  const keys = found.filter((entry) => entry.isFile() && /^ssh_host_.*_key$/.test(entry.name))
  return keys.map(({ name }) => `${folder}/${name}`)
}
