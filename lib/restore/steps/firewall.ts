import { setTimeout as sleep } from 'node:timers/promises'
import { noteAgain } from '../bring-back.ts'
import { plannedItem, type Site } from '../site.ts'
import { type Done, Skip, type Step } from '../step.ts'
import { has, must, sh } from '../system.ts'
import { bringBackInWords, isBackInWords } from './files.ts'

/** What must be let in, whatever the restored rules say: ssh, tailscale, http and https. */
export const openPorts = ['22/tcp', '41641/udp', '80/tcp', '443/tcp'] as const

/** The rules, then the ports that must be open, and only then the wall: nobody is locked out in between, and open sessions go on. */
export function ufwStep(site: Site): Step {
  return {
    name: 'ufw',
    title: `UFW rules; lets in ${openPorts.join(', ')}; disables the firewall and enables it again`,
    items: ['ufw'],
    async done() {
      const back = await isBackInWords(site, 'ufw')
      return back !== undefined && (await closedPorts()).length === 0 ? back : undefined
    },
    async do() {
      const { said, failure } = await tryBringBack(site, 'ufw')
      if (!(await has('ufw')))
        throw new Error(`${said}; ufw is not installed: apt-get install ufw, then run this again`)
      // While it is on, ufw takes its new files for rules that are in force: it loads none of them, and fails to add to them.
      await must(sh`ufw disable`)
      for (const port of openPorts) await must(sh`ufw allow ${port}`)
      await must(sh`ufw --force enable`)
      // ufw writes its own rules into the files that it was given.
      await noteAgain(site, 'ufw')
      if (failure) throw failure
      return { said: `${said}; enabled, ${openPorts.join(', ')} open`, changed: true }
    },
    async check() {
      const closed = await closedPorts()
      if (closed.length > 0) throw new Error(`ufw does not let in ${closed.join(', ')}: see ufw status`)
    },
  }
}

export function fail2banStep(site: Site): Step {
  return {
    name: 'fail2ban',
    title: 'Fail2ban jails; restarts fail2ban',
    items: ['fail2ban'],
    async done() {
      const back = await isBackInWords(site, 'fail2ban')
      return back !== undefined && (await runningJails()).length > 0 ? back : undefined
    },
    async do() {
      const { said, failure } = await tryBringBack(site, 'fail2ban')
      if (!(await has('fail2ban-client')))
        throw new Error(`${said}; fail2ban is not installed: apt-get install fail2ban, then run this again`)
      await must(sh`systemctl enable fail2ban`)
      await must(sh`systemctl restart fail2ban`)
      if (failure) throw failure
      return { said: `${said}; restarted`, changed: true }
    },
    async check() {
      for (let tries = 0; tries < 60 && (await runningJails()).length === 0; tries++) await sleep(500)
      if ((await runningJails()).length === 0)
        throw new Error('fail2ban runs no jail: see fail2ban-client status and its log')
    },
  }
}

/** The ports of ours that the firewall does not let in; all of them while it is off. */
export async function closedPorts(): Promise<string[]> {
  const { stdout } = await sh`ufw status`
  if (!/^Status: active$/m.test(stdout)) return [...openPorts]
  const allowed = [...stdout.matchAll(/^(\S+)\s+(?:ALLOW|LIMIT)\b/gm)].map(([, port]) => port)
  return openPorts.filter((port) => !allowed.includes(port) && !allowed.includes(port.split('/')[0]))
}

/** Names of the running jails. */
export async function runningJails(): Promise<string[]> {
  const { stdout } = await sh`fail2ban-client status`
  return (/Jail list:\s*(.*)$/m.exec(stdout)?.[1] ?? '').split(',').flatMap((name) => name.trim() || [])
}

/** Without a backup a new machine needs its walls all the same: what is missing is told after they stand. */
async function tryBringBack(site: Site, item: string): Promise<{ said: string; failure?: Error }> {
  try {
    const { said }: Done = await bringBackInWords(site, item)
    return { said }
  } catch (error) {
    if (error instanceof Skip && plannedItem(site, item)?.leftOut === undefined) throw error
    return { said: (error as Error).message, failure: error as Error }
  }
}
