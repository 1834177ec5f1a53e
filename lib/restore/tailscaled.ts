import { sh } from './system.ts'

/** What a tailscaled says of itself. */
export interface Tailscaled {
  /** `Running`, `NeedsLogin`, `Stopped`, `NoState`, …; `no answer` where none runs. */
  state: string
  /** The machine's own on the tailnet. One that is down, or whose key has expired, still says it. */
  address?: string
  /** What ails it, in its own words. */
  health: readonly string[]
  /** The addresses of the machines that it knows of. */
  peers: readonly string[]
}

/** Asks the daemon of this machine, or another one that `flags` name. */
export async function tailscaledHere(flags: readonly string[] = []): Promise<Tailscaled> {
  const { stdout } = await sh`tailscale ${flags} status --json`
  let status: Status
  try {
    status = JSON.parse(stdout)
  } catch {
    return { state: 'no answer', health: [], peers: [] }
  }
  const address = status.Self?.TailscaleIPs?.find(isIpv4)
  return {
    state: status.BackendState ?? 'no answer',
    ...(address ? { address } : {}),
    health: status.Health ?? [],
    peers: Object.values(status.Peer ?? {}).flatMap(({ TailscaleIPs }) => TailscaleIPs ?? []),
  }
}

/** Whether it can be reached under an address. That it says the address alone is no proof. */
export function isUp({ state, address }: Tailscaled, expected: string): boolean {
  return state === 'Running' && address === expected
}

/** What we read of `tailscale status --json`. */
interface Status {
  BackendState?: string
  Health?: string[] | null
  Self?: { TailscaleIPs?: string[] | null }
  Peer?: Record<string, { TailscaleIPs?: string[] | null }> | null
}

function isIpv4(address: string): boolean {
  return !address.includes(':')
}
