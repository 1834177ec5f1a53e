import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import * as v from 'valibot'
import { withScratch } from '../../files/scratch.ts'
import { start, systemPath } from '../../hosts/process.ts'
import { has, sh } from '../../hosts/shell.ts'

/** What a tailscaled reports. */
export interface Tailscaled {
  /** `Running`, `NeedsLogin`, `Stopped`, `NoState`, …; `no answer` when none runs. */
  state: string
  /** Its own tailnet address, reported even when it is down or its key has expired. */
  address?: string
  /** Its problems, in its own words. */
  health: readonly string[]
  /** The addresses of the machines it knows. */
  peers: readonly string[]
}

/** Asks this machine's daemon, or the one that `flags` select. */
export async function tailscaledHere(flags: readonly string[] = []): Promise<Tailscaled> {
  const { stdout } = await sh`tailscale ${flags} status --json`
  const { success, output } = v.safeParse(status, stdout)
  if (!success) return { state: 'no answer', health: [], peers: [] }
  const address = output.Self.TailscaleIPs.find(isIpv4)
  return {
    state: output.BackendState,
    address,
    health: output.Health,
    peers: Object.values(output.Peer).flatMap(({ TailscaleIPs }) => TailscaleIPs),
  }
}

/** Whether it is reachable at an address. Reporting the address alone proves nothing. */
export function isUp({ state, address }: Tailscaled, expected: string): boolean {
  return state === 'Running' && address === expected
}

const machine = v.object({ TailscaleIPs: v.fallback(v.array(v.string()), []) })

/** The parts of `tailscale status --json` that we use. */
const status = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    BackendState: v.fallback(v.string(), 'no answer'),
    Health: v.fallback(v.array(v.string()), []),
    Self: v.fallback(machine, { TailscaleIPs: [] }),
    Peer: v.fallback(v.record(v.string(), machine), {}),
  }),
)

function isIpv4(address: string): boolean {
  return !address.includes(':')
}

/**
 * Whether another machine answers at a tailnet address that tailscaled here does not have. Asks a daemon that
 * runs here under another name or, with a key, a temporary one. `unknown` without either, or if it sees none.
 */
export async function lookForDuplicate(
  address: string,
  authKey: string | undefined,
): Promise<'answers' | 'silent' | 'unknown'> {
  const here = await tailscaledHere()
  if (here.state === 'Running' && here.address !== address) return pinged([], address)
  if (authKey === undefined || !(await has('tailscaled'))) return 'unknown'
  return withThrowAway(authKey, (flags) => pinged(flags, address))
}

/** Gives `use` a private file with the key: other users can read command lines. */
export async function withKeyFile<T>(key: string, use: (file: string) => Promise<T>): Promise<T> {
  return withScratch(tmpdir(), '.comfyume-restore', async (folder) => {
    const file = path.join(folder, 'key')
    await writeFile(file, key, { mode: 0o600 })
    return use(file)
  })
}

async function pinged(flags: readonly string[], address: string): Promise<'answers' | 'silent' | 'unknown'> {
  const { peers } = await tailscaledHere(flags)
  // The tailnet's rules may hide it.
  if (!peers.includes(address)) return 'unknown'
  const { exitCode } = await sh`timeout 20 tailscale ${flags} ping --c 3 --timeout 3s ${address}`
  return exitCode === 0 ? 'answers' : 'silent'
}

/** Runs a tailscaled without device, port or files for two minutes at most. Needs a reusable key. */
async function withThrowAway<T>(
  authKey: string,
  use: (flags: readonly string[]) => Promise<T>,
): Promise<T | 'unknown'> {
  return withScratch(tmpdir(), '.comfyume-restore', async (folder) => {
    const socket = path.join(folder, 'socket')
    const daemon = await start(
      [
        ...['timeout', '120', 'tailscaled', '--state=mem:', '--tun=userspace-networking', '--port=0'],
        `--socket=${socket}`,
      ],
      { env: { PATH: systemPath(), TS_LOGS_DIR: folder }, ignore: ['stdout', 'stderr'] },
    )
    const flags = [`--socket=${socket}`]
    try {
      for (let tries = 0; tries < 20; tries++) {
        await sleep(250)
        if ((await sh`test -S ${socket}`).exitCode === 0) break
      }
      const up = await withKeyFile(
        authKey,
        (file) =>
          sh`timeout 30 tailscale ${flags} up --ssh=false --hostname=restore-probe --auth-key=file:${file}`,
      )
      return up.exitCode === 0 ? await use(flags) : 'unknown'
    } finally {
      // It leaves the tailnet before it ends.
      daemon.terminate()
      await Promise.race([daemon.ended, sleep(10_000)])
    }
  })
}
