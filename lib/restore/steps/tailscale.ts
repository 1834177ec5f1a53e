import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessOutput } from 'zx'
import { messageOf } from '../../message.ts'
import { BadArchive } from '../bad-archive.ts'
import { plannedItem, type Site } from '../site.ts'
import { Halt, Skip, type Step } from '../step.ts'
import { has, must, sh, stateOf } from '../system.ts'
import { whyNoIdentity } from '../tailscale-state.ts'
import { isUp, tailscaledHere } from '../tailscaled.ts'
import { withKeyFile, withoutTwin } from '../twin.ts'
import { bringBackInWords } from './files.ts'

const stateFile = '/var/lib/tailscale/tailscaled.state'

/**
 * The identity, then the daemon, then the address (law 8). A daemon that runs already with another identity is stopped once a good copy lies ready, because it would
 * write its own state over it; one that has the expected address is left its state, which has gone on from what was backed up.
 */
export function tailscaleStep(site: Site): Step {
  const { expectedAddress } = site.settings.tailscale
  return {
    name: 'tailscale',
    title: `Tailscale identity; stops tailscaled (and with it a session that comes over tailscale), starts it with the identity, expects ${expectedAddress}`,
    items: ['tailscale'],
    async done() {
      if (!isUp(await tailscaledHere(), expectedAddress) || !(await startsAtBoot())) return undefined
      site.outcomes.set('tailscale', { item: 'tailscale', status: 'unchanged' })
      return `tailscaled runs and has ${expectedAddress}`
    },
    async do() {
      const { state, address } = await tailscaledHere()
      const own = address === expectedAddress
      if (own) site.outcomes.set('tailscale', { item: 'tailscale', status: 'unchanged' })
      if (own && state !== 'Running') await lookForTwin(site)
      const said = own ? 'the identity is there already' : await putInPlace(site)
      await must(sh`systemctl unmask tailscaled`)
      await must(sh`systemctl enable --now tailscaled`)
      await comeUp(site)
      return { said: `${said}; tailscaled ${own ? 'runs' : 'started'}`, changed: true }
    },
    async check() {
      const here = await tailscaledHere()
      if (!isUp(here, expectedAddress)) throw new Halt(wrongAddress(expectedAddress, here.address))
    },
  }
}

/** Puts the identity where a tailscaled that does not run yet will find it; returns where it came from, in words. */
async function putInPlace(site: Site): Promise<string> {
  const leftOut = plannedItem(site, 'tailscale')?.leftOut !== undefined
  const runs = (await stateOf('tailscaled')) === 'active'
  if (!leftOut && !runs) await must(sh`systemctl mask tailscaled`)
  try {
    const { said } = await bringBackInWords(site, 'tailscale', {
      before: (unpacked) => clearTheWay(site, unpacked(stateFile)),
    })
    if (await has('tailscaled')) return said
  } catch (error) {
    if (error instanceof Halt) throw error
    if (error instanceof Skip) throw (await isMasked()) ? new Skip(`${error.message}. ${maskedStill}`) : error
    throw new Error(
      `${messageOf(error)}. ${runs ? 'The tailscaled that runs here keeps the address that it has' : maskedStill}`,
      { cause: error },
    )
  }
  throw new Error(
    'the identity is back, but tailscaled is not installed: install tailscale and run this again, before anything starts it',
  )
}

const maskedStill =
  'tailscaled stays masked, because it would take another address: mend that and run this again. To have it take another one all the same: ' +
  'systemctl unmask tailscaled, systemctl enable --now tailscaled, tailscale up --ssh=false'

/** A good copy lies ready: nobody else may have its address, and no daemon may run here, nor be started, until it is in place. */
async function clearTheWay(site: Site, state: string): Promise<void> {
  const flaw = whyNoIdentity(await readFile(state, 'utf8').catch(() => ''))
  if (flaw !== undefined) throw new BadArchive(flaw)
  await lookForTwin(site)
  await must(sh`systemctl mask tailscaled`)
  await must(sh`systemctl stop tailscaled`)
}

/** Two machines with one identity take each other's place in turns, and neither notices: so the old one is looked for before this one starts. */
async function lookForTwin({ settings, watch }: Site): Promise<void> {
  const { expectedAddress, authKey } = settings.tailscale
  const asked = await withoutTwin(expectedAddress, authKey?.reveal())
  if (asked === 'answers')
    throw new Halt(
      `another machine answers at ${expectedAddress}: the old instance is still up. Stop it, or its tailscaled (systemctl stop tailscaled), then run this again. ` +
        'tailscaled is not started here',
    )
  if (asked === 'unknown')
    watch.note(
      `whether the old instance still has ${expectedAddress} cannot be seen from here. On Mello, this must get no answer: tailscale ping ${expectedAddress}`,
    )
}

/** Waits for what the daemon makes of its state, and logs in only when it asks for it. */
async function comeUp({ settings, watch }: Site): Promise<void> {
  const { expectedAddress, authKey } = settings.tailscale
  const tried = new Map<string, { complaint: string; second: number }>()
  let here = await tailscaledHere()
  for (let second = 0; second < 60; second++) {
    if (here.state === 'Running' && here.address !== undefined) return
    const unreadable = here.health.find((line) => line.includes('State store failed to initialize'))
    if (unreadable !== undefined)
      throw new Halt(
        `tailscaled started without the identity: ${unreadable}. Restore an older one: restore --only tailscale --at DATE`,
      )
    if (here.state === 'NeedsLogin' && !tried.has('login')) {
      if (authKey === undefined)
        throw new Halt(
          `tailscale asks for a login: the key of the identity has expired, or the machine was removed from the tailnet. Set TAILSCALE_AUTHKEY and run this again, or ` +
            `log in by hand (tailscale up --ssh=false), and then compare the address: tailscale ip -4 must say ${expectedAddress}`,
        )
      watch.note('tailscale asks for a login: tailscale up')
      tried.set('login', { complaint: await logIn(authKey.reveal()), second })
    }
    if (here.state === 'Stopped' && !tried.has('up')) {
      watch.note('tailscale was down when it was backed up: tailscale up')
      tried.set('up', { complaint: complaintOf(await sh`timeout 60 tailscale up`), second })
    }
    // How it ends is seen by the state: up has been seen to fail though it had logged in.
    for (const [what, { complaint, second: then }] of tried) {
      if (complaint !== '' && second - then > 5)
        throw new Halt(
          `tailscale up${what === 'login' ? ' with the key of TAILSCALE_AUTHKEY' : ''} did not help: ${complaint}. Log in by hand (tailscale up --ssh=false)` +
            `${what === 'login' ? ', or set a key that can be used more than once and makes no ephemeral machine' : ''}, then run this again`,
        )
    }
    await sleep(1000)
    here = await tailscaledHere()
  }
  throw new Halt(
    `tailscaled runs but did not come up within a minute (${[here.state, ...here.health].join('; ')}): see whether this machine can reach the internet, ` +
      'tailscale status, and journalctl -u tailscaled; then run this again',
  )
}

/**
 * Logs in, everything else being as it was. Where the state has settings of its own, as a host name, `up` refuses to go without them and says with which
 * flags it would; these are quoted for a shell. Returns what it complained of, or nothing.
 */
async function logIn(key: string): Promise<string> {
  return withKeyFile(key, async (file) => {
    let up = await sh`timeout 60 tailscale up --ssh=false --auth-key=file:${file}`
    const [, command] = /^\s+(tailscale up .*--auth-key=.*)$/m.exec(up.stderr) ?? []
    if (up.exitCode !== 0 && command !== undefined) up = await sh`timeout 60 bash --norc -c ${command}`
    return complaintOf(up).replaceAll(key, '…')
  })
}

function complaintOf({ exitCode, stdout, stderr }: ProcessOutput): string {
  if (exitCode === 0) return ''
  return (stderr.trim() || stdout.trim() || 'no answer for 60 s').split('\n').slice(0, 2).join(' ')
}

async function startsAtBoot(): Promise<boolean> {
  const { stdout } = await sh`systemctl is-enabled tailscaled`
  return !['masked', 'disabled'].includes(stdout.trim())
}

async function isMasked(): Promise<boolean> {
  return (await sh`systemctl is-enabled tailscaled`).stdout.trim() === 'masked'
}

function wrongAddress(expected: string, address: string | undefined): string {
  return (
    `this machine has ${address ?? 'no address'} on the tailnet, and not ${expected}: the identity that was restored is not the one that has it. ` +
    'See the machines in the admin console of tailscale: if the old one was removed there, give this one its address (edit its IPv4), or set VERDA_TAILSCALE_IP ' +
    'to the new address here, and the address of verda in ~/.ssh/config on Mello. Then run this again'
  )
}
