import { existsSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { checkNames } from '../../cli/flags.ts'
import { mountAt } from '../../doctor/machine.ts'
import type { Host } from '../../hosts/host.ts'
import { localHost } from '../../hosts/local.ts'
import { sshHost } from '../../hosts/ssh.ts'
import { type StoreName, stores } from '../../inventory.ts'
import type { Settings } from '../../settings/settings.ts'
import type { Memory } from './memory.ts'

/** One look: its viewpoint, its targets, and what earlier looks remembered. */
export interface Look {
  settings: Settings
  vantage: Vantage
  /** The stores to look at; `git`: the credentials' repository. */
  wanted: ReadonlySet<StoreName | 'git'>
  memory: Memory
  /** Where this machine remembers what `verify` read; absent: nowhere. */
  verifyFolder?: string
  /** Also lists old files in buckets with a long history. */
  all?: boolean
  /** Also reads how the days of the calendar ended. */
  calendar?: boolean
  /** This run marks Verda as off. */
  markOff: boolean
  now: Date
}

/** Every store that receives something. */
export function storesOf({ hetzner }: Settings): StoreName[] {
  return (Object.keys(stores) as StoreName[]).filter((name) => name !== 'hetzner' || hetzner !== undefined)
}

export const isStore = (name: string): name is StoreName => name in stores

/** The stores requested for a look, with `git` for the credentials' repository; without names, all. */
export function wantedStores(named: readonly string[] | undefined, settings: Settings) {
  const known = [...storesOf(settings), 'git' as const]
  checkNames('--stores', named, known, 'there are')
  return new Set(known.filter((store) => named?.includes(store) ?? true))
}

/** The places of a look, for --dry-run. */
export function placesOf(wanted: ReadonlySet<StoreName | 'git'>, settings: Settings, { onVerda }: Vantage) {
  const places: Record<StoreName, string> = {
    sfs: `${settings.sfs.cache} on ${onVerda ? 'this machine' : `verda, by ssh ${settings.verdaSsh}`}`,
    mello: `${settings.melloBackups} on this machine`,
    r2: settings.r2 ? `four buckets at ${settings.r2.endpoint}` : 'nothing: there is no key for it here',
    hetzner: `four buckets at ${settings.hetzner?.endpoint}`,
  }
  return storesOf(settings)
    .filter((store) => wanted.has(store))
    .map((store) => ({ store, title: stores[store].title, at: places[store] }))
}

/** What this process reaches on this machine, and what behind ssh. */
export interface Vantage extends AsyncDisposable {
  onVerda: boolean
  verda: Host
  /** This machine: Mello's copies are visible nowhere else. */
  mello: Host
}

/**
 * This machine is Verda if VERDA_SSH says `local`, the share is mounted here, or Verda's address is its own.
 * Does not touch a share that may hang.
 */
export function vantageOf(settings: Settings): Vantage {
  const { sfs, roots, verdaSsh, tailscale } = settings
  const onVerda =
    verdaSsh === 'local' ||
    isMounted(sfs.root) ||
    (!sfs.requireMount && existsSync(sfs.root)) ||
    Object.values(networkInterfaces()).some((addresses) =>
      addresses?.some(({ address }) => address === tailscale.expectedAddress),
    )
  const root = roots.verda
  const verda = onVerda
    ? localHost({ name: 'verda', root, sudo: root === '/' && process.getuid?.() !== 0 })
    : sshHost({ name: 'verda', root, destination: verdaSsh })
  const mello = localHost({ name: 'this machine', root: roots.mello })
  return {
    onVerda,
    verda,
    mello,
    async [Symbol.asyncDispose]() {
      await Promise.all([verda.close(), mello.close()])
    },
  }
}

/** A system without /proc has no share mounted. */
function isMounted(folder: string): boolean {
  try {
    return mountAt(readFileSync('/proc/self/mountinfo', 'utf8'), folder) !== undefined
  } catch {
    return false
  }
}
