import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { below, type Site } from '../site.ts'
import { Halt, type Step } from '../step.ts'
import { has, must, sh, stateOf } from '../system.ts'
import { withKeyFile, withoutTwin } from '../twin.ts'
import { bringBackInWords } from './files.ts'

/**
 * The identity, then the daemon, then the address (law 8). A daemon that runs already with another identity is stopped once a good copy lies ready, because it would
 * write its own state over it; one that has the expected address is left alone, since its state has gone on from what was backed up.
 */
export function tailscaleStep(site: Site): Step {
  const { expectedAddress } = site.settings.tailscale
  return {
    name: 'tailscale',
    title: `Tailscale identity; stops tailscaled (and with it a session that comes over tailscale), starts it with the identity, expects ${expectedAddress}`,
    items: ['tailscale'],
    async done() {
      if ((await stateOf('tailscaled')) !== 'active' || !(await isUp(expectedAddress))) return undefined
      site.outcomes.set('tailscale', { item: 'tailscale', status: 'unchanged' })
      return `tailscaled runs and has ${expectedAddress}`
    },
    async do() {
      await must(sh`systemctl mask tailscaled`)
      const { said } = await bringBackInWords(site, 'tailscale', { before: () => clearTheWay(site) })
      if (!(await has('tailscaled')))
        throw new Error(
          'the identity is back, but tailscaled is not installed: install tailscale and run this again, before anything starts it',
        )
      await refuseSealed(below(site.root, '/var/lib/tailscale/tailscaled.state'))
      await must(sh`systemctl unmask tailscaled`)
      await must(sh`systemctl enable --now tailscaled`)
      await comeUp(site)
      return { said: `${said}; tailscaled started`, changed: true }
    },
    async check() {
      if (!(await isUp(expectedAddress))) throw new Halt(wrongAddress(expectedAddress, await addressHere()))
    },
  }
}

/** The tailnet address of this machine, or undefined while there is none. A daemon that is down still prints its address. */
export async function addressHere(): Promise<string | undefined> {
  const { exitCode, stdout } = await sh`tailscale ip -4`
  return exitCode === 0 ? stdout.trim().split('\n')[0] : undefined
}

async function isUp(expected: string): Promise<boolean> {
  return (await backendState()) === 'Running' && (await addressHere()) === expected
}

/** Two machines with one identity take each other's place in turns, and neither notices: so the old one is looked for before this one starts. */
async function clearTheWay({ settings, watch }: Site): Promise<void> {
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
  await must(sh`systemctl stop tailscaled`)
}

/** A state that is sealed with the old machine's own chip is worth nothing elsewhere, and tailscaled would start all the same, as somebody new. */
async function refuseSealed(file: string): Promise<void> {
  const state = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Record<string, unknown>
  if (state.nonce === undefined || state.data === undefined) return
  throw new Halt(
    `${file} is sealed with the TPM of the machine that it came from, and cannot be used here: log in anew (tailscale up --ssh=false) and give this machine the ` +
      'expected address in the admin console; switch sealing off for the next backup (tailscaled --encrypt-state=false)',
  )
}

/** Waits for what the daemon makes of its state, and logs in only when it asks for it. */
async function comeUp({ settings, watch }: Site): Promise<void> {
  const { expectedAddress, authKey } = settings.tailscale
  let asked = false
  for (let waited = 0; waited < 60; waited++) {
    const state = await backendState()
    if (state === 'Running' && (await addressHere()) !== undefined) return
    if (state === 'NoState' && waited > 10)
      throw new Halt(
        'tailscaled started without the identity: its state cannot be read (tailscale status says why). Restore an older one: restore --only tailscale --at DATE',
      )
    if (state === 'NeedsLogin' && !asked) {
      if (authKey === undefined)
        throw new Halt(
          `tailscale asks for a login: the key of the identity has expired, or the machine was removed from the tailnet. Set TAILSCALE_AUTHKEY and run this again, or ` +
            `log in by hand (tailscale up --ssh=false), and then compare the address: tailscale ip -4 must say ${expectedAddress}`,
        )
      watch.note('tailscale asks for a login: tailscale up')
      // How it ends is seen by the state: up has been seen to fail though it had logged in.
      await withKeyFile(
        authKey.reveal(),
        (file) => sh`timeout 60 tailscale up --ssh=false --auth-key=file:${file}`,
      )
      asked = true
    }
    if (state === 'Stopped' && !asked) {
      watch.note('tailscale was down when it was backed up: tailscale up')
      await sh`timeout 60 tailscale up`
      asked = true
    }
    await sleep(1000)
  }
  throw new Halt(
    `tailscaled runs but did not come up within a minute (${await backendState()}): see tailscale status, and journalctl -u tailscaled`,
  )
}

/** What the daemon says of itself: `Running`, `NeedsLogin`, `Stopped`, `NoState`, … */
async function backendState(): Promise<string> {
  const { stdout } = await sh`tailscale status --json`
  try {
    return (JSON.parse(stdout) as { BackendState?: string }).BackendState ?? 'unknown'
  } catch {
    return 'no answer'
  }
}

function wrongAddress(expected: string, address: string | undefined): string {
  return (
    `this machine has ${address ?? 'no address'} on the tailnet, and not ${expected}: the identity that was restored is not the one that has it. ` +
    'See the machines in the admin console of tailscale: if the old one was removed there, give this one its address (edit its IPv4), or set VERDA_TAILSCALE_IP ' +
    'to the new address here, and the address of verda in ~/.ssh/config on Mello. Then run this again'
  )
}
