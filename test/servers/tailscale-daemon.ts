import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { collect, end, ended, until } from './child.ts'

/** One tailscaled. */
export interface Daemon {
  stateDir: string
  /** The output of `tailscale` with these arguments; throws its message on failure. */
  tailscale(...args: string[]): Promise<string>
  /** Logs in as a new node. */
  up(...args: string[]): Promise<void>
  /** Its 100.64.0.0/10 address, once it is connected. */
  address(): Promise<string>
  status(): Promise<TailscaleStatus>
  /** Where the node at that address answers (`127.0.0.1:41641`); undefined after three seconds. */
  ping(address: string): Promise<string | undefined>
  log(): string
  /** Ends it as `systemctl stop` does. */
  stop(): Promise<void>
}

/** The fields of `tailscale status --json` that tests use. */
export interface TailscaleStatus {
  BackendState: string
  Health: string[]
  TailscaleIPs: string[] | null
  Self: { ID: string; HostName: string; Online: boolean; Addrs: string[] | null }
  Peer: Record<string, { HostName: string; TailscaleIPs: string[]; Online: boolean; LastSeen: string }> | null
}

export interface DaemonOptions {
  /** The folder for its state, which may not exist yet. */
  stateDir: string
  /** A folder for its socket, which stays after it ends. */
  folder: string
  tailscaled: string
  /** The real command line. */
  tailscale: string
  /** The first arguments of every `up`. */
  login: string[]
}

/** Starts a daemon as its unit does and waits until it answers; throws its output if it ends first. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { stateDir, login } = options
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const socket = path.join(mkdtempSync(path.join(options.folder, 'daemon-')), 'socket')
  const args = [`--state=${path.join(stateDir, 'tailscaled.state')}`, `--socket=${socket}`]
  const child = spawn(options.tailscaled, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const said = collect(child)

  const tailscale = async (...given: string[]) =>
    (await execa(options.tailscale, [`--socket=${socket}`, ...given])).stdout
  const status = async (): Promise<TailscaleStatus> => JSON.parse(await tailscale('status', '--json'))

  await until('tailscaled answers', async () => {
    if (ended(child)) throw new Error(`tailscaled ended at once: ${said.all}`)
    return status().then(
      () => true,
      () => false,
    )
  }).catch(async (error) => {
    await end(child)
    throw error
  })
  return {
    stateDir,
    tailscale,
    async up(...more) {
      await tailscale('up', ...login, ...more)
    },
    async address() {
      await until(`${stateDir} is connected`, async () => (await status()).BackendState === 'Running')
      return tailscale('ip', '-4')
    },
    status,
    async ping(address) {
      // The first answers may come through the relay; it stops at the first direct one.
      const answer = await tailscale('ping', '--c=3', '--timeout=1s', address).catch(
        (error) => error.stdout as string,
      )
      return [...answer.matchAll(/^pong from .* via (\S+) in /gm)].at(-1)?.[1]
    },
    log: () => said.all,
    stop: () => end(child),
  }
}
