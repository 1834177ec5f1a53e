import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { has, must, sh, stateOf } from '../../hosts/shell.ts'
import { runAgain } from '../../text.ts'
import { below, type Done, plannedItem, type RestoreContext, Skip, type Step } from '../context.ts'
import { bringBack, isBackAlready, rememberAgain } from '../files/bring-back.ts'
import { wasRestored } from '../marker.ts'

/** The open ports of a firewall without restored rules: ssh, tailscale, http and https. */
const openPorts = ['22/tcp', '41641/udp', '80/tcp', '443/tcp'] as const

/**
 * Restores the rules as they were. Adds no port: it would be open to the world and in the next backup. Only a
 * machine without restored rules gets our ports, because a firewall without rules lets no one in.
 */
export function ufwStep(context: RestoreContext): Step {
  return {
    name: 'ufw',
    title:
      'UFW rules, as they were backed up; disables the firewall and enables it again. Open sessions stay open, and the rules decide about new ones',
    items: ['ufw'],
    async done() {
      const back = await isBackAlready(context, 'ufw')
      return back !== undefined && ((await isFirewallOn()) || (await isMeantToBeOff(context)))
        ? back
        : undefined
    },
    async do() {
      const { said, failure } = await tryBringBack(context, 'ufw')
      if (!(await has('ufw')))
        throw new Error(`${said}; ufw is not installed: apt-get install ufw, then ${runAgain()}`)
      if (failure) {
        if (!(await isFirewallOn()) && !(await wasRestored(context, 'ufw'))) await openOurPorts()
        throw failure
      }
      const off = await isMeantToBeOff(context)
      // An enabled ufw treats new files as rules already in force, and loads none of them.
      await must(sh`ufw disable`)
      if (!off) await must(sh`ufw --force enable`)
      // Enabling ufw changes the restored files.
      await rememberAgain(context, 'ufw')
      return {
        said: `${said}; ${off ? 'left off, as it was when it was backed up' : 'enabled'}`,
        changed: true,
      }
    },
    async check() {
      if (!(await isFirewallOn()) && !(await isMeantToBeOff(context)))
        throw new Error('ufw is not active: see ufw status')
    },
  }
}

async function openOurPorts(): Promise<void> {
  for (const port of openPorts) await must(sh`ufw allow ${port}`)
  await must(sh`ufw --force enable`)
}

/** Whether the restored firewall was off. Then it stays off: its rules may let no one in. */
async function isMeantToBeOff({ root }: RestoreContext): Promise<boolean> {
  const conf = await readFile(below(root, '/etc/ufw/ufw.conf'), 'utf8').catch(() => '')
  return /^ENABLED=no$/im.test(conf)
}

/**
 * Starts the jails early. fail2ban does not start while a log that it reads is missing: if the log comes with
 * the homes, jailsStep starts it later.
 */
export function fail2banStep(context: RestoreContext): Step {
  return {
    name: 'fail2ban',
    title: 'Fail2ban jails; restarts fail2ban',
    items: ['fail2ban'],
    async done() {
      const back = await isBackAlready(context, 'fail2ban')
      return back !== undefined && (await runningJails()).length > 0 ? back : undefined
    },
    async do() {
      const { said, failure } = await tryBringBack(context, 'fail2ban')
      if (!(await has('fail2ban-client')))
        throw new Error(`${said}; fail2ban is not installed: apt-get install fail2ban, then ${runAgain()}`)
      const why = await restartJails()
      const waits = why !== undefined && homesBringLogs(context) && /log file/i.test(why)
      if (why !== undefined && !waits) throw new Error(`${said}; ${noJail(why)}`)
      if (failure) throw failure
      return { said: `${said}; ${waits ? `waits for the homes (${why})` : 'restarted'}`, changed: true }
    },
  }
}

/** Restarts fail2ban after the homes. */
export function jailsStep(_site: RestoreContext): Step {
  const inWords = async () => {
    const names = await runningJails()
    return names.length > 0 ? `running: ${names.join(', ')}` : undefined
  }
  return {
    name: 'jails',
    title: 'Fail2ban again, if a log that it reads came with the homes; restarts fail2ban',
    items: [],
    done: inWords,
    async do() {
      const why = (await has('fail2ban-client')) ? await restartJails() : 'it is not installed'
      if (why !== undefined) throw new Error(noJail(why))
      return { said: `restarted, ${await inWords()}`, changed: true }
    },
  }
}

export function homesBringLogs(context: RestoreContext): boolean {
  return ['home-dev', 'root-home'].some((home) => plannedItem(context, home) !== undefined)
}

/** Returns why no jail runs afterwards, in fail2ban's words. */
async function restartJails(): Promise<string | undefined> {
  await must(sh`systemctl enable fail2ban`)
  // systemd reports success once the server has started, but it may end right after.
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
    : 'Fix /etc/fail2ban'
  return `fail2ban runs no jail: ${why}. ${todo}, then ${runAgain()}`
}

export async function isFirewallOn(): Promise<boolean> {
  return /^Status: active$/m.test((await sh`ufw status`).stdout)
}

/** The rules in ufw's files, as you would type them: `allow 22/tcp`. */
export async function firewallRules(): Promise<string[]> {
  const { stdout } = await sh`ufw show added`
  return [...stdout.matchAll(/^ufw (.+)$/gm)].map(([, rule]) => rule as string)
}

/** Names of the running jails. */
export async function runningJails(): Promise<string[]> {
  const { stdout } = await sh`fail2ban-client status`
  return (/Jail list:\s*(.*)$/m.exec(stdout)?.[1] ?? '').split(',').flatMap((name) => name.trim() || [])
}

/** Without a backup, a new machine still needs a firewall: the failure is reported once that is up. */
async function tryBringBack(
  context: RestoreContext,
  item: string,
): Promise<{ said: string; failure?: Error }> {
  try {
    const { said }: Done = await bringBack(context, item)
    return { said }
  } catch (error) {
    if (error instanceof Skip && plannedItem(context, item)?.leftOut === undefined) throw error
    return { said: (error as Error).message, failure: error as Error }
  }
}
