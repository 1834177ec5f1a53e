import { setTimeout as sleep } from 'node:timers/promises'
import { noteAgain } from '../bring-back.ts'
import { plannedItem, type Site } from '../site.ts'
import { type Done, Skip, type Step } from '../step.ts'
import { has, must, sh, stateOf } from '../system.ts'
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

/**
 * The jails stand before anything else comes back, where they can: fail2ban does not start while a log that it reads is not there. One that
 * comes with the homes is waited for; jailsStep then has the last word.
 */
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
      const why = await restartJails()
      const waits = why !== undefined && homesBringLogs(site) && /log file/i.test(why)
      if (why !== undefined && !waits) throw new Error(`${said}; ${noJail(why)}`)
      if (failure) throw failure
      return { said: `${said}; ${waits ? `waits for the homes (${why})` : 'restarted'}`, changed: true }
    },
  }
}

/** Fail2ban once more, after the homes. */
export function jailsStep(_site: Site): Step {
  const inWords = async () => {
    const names = await runningJails()
    return names.length > 0 ? `running: ${names.join(', ')}` : undefined
  }
  return {
    name: 'jails',
    title: 'Fail2ban again, where a log that it reads came with the homes; restarts fail2ban',
    items: [],
    done: inWords,
    async do() {
      const why = (await has('fail2ban-client')) ? await restartJails() : 'it is not installed'
      if (why !== undefined) throw new Error(noJail(why))
      return { said: `restarted, ${await inWords()}`, changed: true }
    },
  }
}

export function homesBringLogs(site: Site): boolean {
  return ['home-dev', 'root-home'].some((home) => plannedItem(site, home) !== undefined)
}

/** Returns why no jail runs then, in fail2ban's own words. */
async function restartJails(): Promise<string | undefined> {
  await must(sh`systemctl enable fail2ban`)
  // systemd says yes as soon as it has started the server, which may end right after.
  const { exitCode } = await sh`systemctl restart fail2ban`
  for (let tries = 0; exitCode === 0 && tries < 60; tries++) {
    if ((await runningJails()).length > 0 || (await stateOf('fail2ban')) === 'failed') break
    await sleep(500)
  }
  if ((await runningJails()).length > 0) return undefined
  const { stdout, stderr } = await sh`fail2ban-client --test`
  const [, complaint] = /ERROR\s+(?:Failed during configuration: )?(.+)/.exec(stderr + stdout) ?? []
  return complaint ?? 'see systemctl status fail2ban, and /var/log/fail2ban.log'
}

function noJail(why: string): string {
  const todo = /log file/i.test(why)
    ? 'Make the log that the jail reads, or switch the jail off in /etc/fail2ban/jail.local'
    : 'Mend /etc/fail2ban'
  return `fail2ban runs no jail: ${why}. ${todo}, then run this again`
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
