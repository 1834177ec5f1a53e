import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessOutput } from 'zx'
import { has, must, sh, stateOf } from '../../hosts/shell.ts'
import { messageOf, runAgain } from '../../text.ts'
import { Halt, plannedItem, type RestoreContext, Skip, type Step } from '../context.ts'
import { bringBack } from '../files/bring-back.ts'
import { isUp, lookForDuplicate, tailscaledHere, withKeyFile } from './tailscaled.ts'

/**
 * Identity, then daemon, then address check (law 8). A daemon with another identity is stopped once a good
 * copy is ready, as it would overwrite the state. One with the expected address keeps its newer state.
 */
export function tailscaleStep(context: RestoreContext): Step {
  const { expectedAddress } = context.settings.tailscale
  return {
    name: 'tailscale',
    title: `Tailscale identity; stops tailscaled (and with it a session that comes over tailscale), starts it with the identity, expects ${expectedAddress}`,
    items: ['tailscale'],
    async done() {
      if (!isUp(await tailscaledHere(), expectedAddress) || !(await startsAtBoot())) return undefined
      context.outcomes.set('tailscale', { item: 'tailscale', status: 'unchanged' })
      return `tailscaled runs and has ${expectedAddress}`
    },
    async do() {
      const { state, address } = await tailscaledHere()
      const own = address === expectedAddress
      if (own) context.outcomes.set('tailscale', { item: 'tailscale', status: 'unchanged' })
      if (own && state !== 'Running') await refuseDuplicate(context)
      const said = own ? 'the identity is there already' : await putInPlace(context)
      await must(sh`systemctl unmask tailscaled`)
      await must(sh`systemctl enable --now tailscaled`)
      await comeUp(context)
      return { said: `${said}; tailscaled ${own ? 'runs' : 'started'}`, changed: true }
    },
    async check() {
      const here = await tailscaledHere()
      if (!isUp(here, expectedAddress)) throw new Halt(wrongAddress(expectedAddress, here.address))
    },
  }
}

/** Puts the identity in place for a tailscaled that is not running yet. Returns its origin, in words. */
async function putInPlace(context: RestoreContext): Promise<string> {
  const leftOut = plannedItem(context, 'tailscale')?.leftOut !== undefined
  const runs = (await stateOf('tailscaled')) === 'active'
  if (!leftOut && !runs) await must(sh`systemctl mask tailscaled`)
  try {
    const { said } = await bringBack(context, 'tailscale', {
      before: () => clearTheWay(context),
    })
    if (await has('tailscaled')) return said
  } catch (error) {
    if (error instanceof Halt) throw error
    if (error instanceof Skip)
      throw (await isMasked()) ? new Skip(`${error.message}. ${maskedStill()}`) : error
    throw new Error(
      `${messageOf(error)}. ${runs ? 'The tailscaled that runs here keeps the address that it has' : maskedStill()}`,
      { cause: error },
    )
  }
  throw new Error(
    `the identity is back, but tailscaled is not installed: install tailscale, and before anything starts it, ${runAgain()}`,
  )
}

const maskedStill = () =>
  'tailscaled stays masked, because it would get another address. To accept another one: systemctl unmask tailscaled, ' +
  `systemctl enable --now tailscaled, tailscale up --ssh=false. Otherwise fix this, then ${runAgain()}`

/** Runs once a good copy is ready: no one else may have its address, and no daemon may run here or start. */
async function clearTheWay(context: RestoreContext): Promise<void> {
  await refuseDuplicate(context)
  await must(sh`systemctl mask tailscaled`)
  await must(sh`systemctl stop tailscaled`)
}

/** Two machines with one identity replace each other unnoticed, so look for the old one first. */
async function refuseDuplicate({ settings, watch }: RestoreContext): Promise<void> {
  const { expectedAddress, authKey } = settings.tailscale
  const asked = await lookForDuplicate(expectedAddress, authKey?.reveal())
  if (asked === 'answers')
    throw new Halt(
      `another machine answers at ${expectedAddress}: the old instance is still up, so tailscaled is not started here. ` +
        `Stop it, or its tailscaled (systemctl stop tailscaled), then ${runAgain()}`,
    )
  if (asked === 'unknown')
    watch.note(
      `whether the old instance still has ${expectedAddress} cannot be seen from here. On Mello, this must get no answer: tailscale ping ${expectedAddress}`,
    )
}

/** Waits for the daemon to use its state, and logs in only if it asks for that. */
async function comeUp({ settings, watch }: RestoreContext): Promise<void> {
  const { expectedAddress, authKey } = settings.tailscale
  const tried = new Map<string, { complaint: string; second: number }>()
  let here = await tailscaledHere()
  for (let second = 0; second < 60; second++) {
    if (here.state === 'Running' && here.address !== undefined) return
    const unreadable = here.health.find((line) => line.includes('State store failed to initialize'))
    if (unreadable !== undefined)
      throw new Halt(
        `tailscaled started without the identity: ${unreadable}. Restore an older one: comfyume-backup restore --only tailscale --at DATE`,
      )
    if (here.state === 'NeedsLogin' && !tried.has('login')) {
      if (authKey === undefined)
        throw new Halt(
          `tailscale asks for a login: the key of the identity has expired, or the machine was removed from the tailnet. Log in by hand ` +
            `(tailscale up --ssh=false) and compare the address (tailscale ip -4 must say ${expectedAddress}), or set TAILSCALE_AUTHKEY, then ${runAgain()}`,
        )
      watch.note('tailscale asks for a login: tailscale up')
      tried.set('login', { complaint: await logIn(authKey.reveal()), second })
    }
    if (here.state === 'Stopped' && !tried.has('up')) {
      watch.note('tailscale was down when it was backed up: tailscale up')
      tried.set('up', { complaint: complaintOf(await sh`timeout 60 tailscale up`), second })
    }
    // Judge by the state: `up` can fail although it logged in.
    for (const [what, { complaint, second: then }] of tried) {
      if (complaint !== '' && second - then > 5)
        throw new Halt(
          `tailscale up${what === 'login' ? ' with the key of TAILSCALE_AUTHKEY' : ''} did not help: ${complaint}. Log in by hand (tailscale up --ssh=false)` +
            `${what === 'login' ? ', or set a key that is reusable and not ephemeral' : ''}, then ${runAgain()}`,
        )
    }
    await sleep(1000)
    here = await tailscaledHere()
  }
  throw new Halt(
    `tailscaled runs but did not come up within a minute (${[here.state, ...here.health].join('; ')}): check that this machine reaches the internet, ` +
      `tailscale status, and journalctl -u tailscaled; then ${runAgain()}`,
  )
}

/**
 * Logs in and changes nothing else. With settings of its own (such as a host name), `up` refuses and names
 * the flags to add, quoted for a shell. Returns its complaint, or an empty string.
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
    `this machine has ${address ?? 'no address'} on the tailnet instead of ${expected}: the restored identity is another machine's. ` +
    'If the old machine was removed in the admin console of tailscale, give this one its address there (edit its IPv4), or set VERDA_TAILSCALE_IP ' +
    `to the new address here, and the address of verda in ~/.ssh/config on Mello, then ${runAgain()}`
  )
}
