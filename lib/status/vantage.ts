import { existsSync, readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import type { Host } from '../hosts/host.ts'
import { localHost } from '../hosts/local.ts'
import { sshHost } from '../hosts/ssh.ts'
import { mountAt } from '../mount-table.ts'
import type { Settings } from '../settings.ts'

/** From where this process looks: what lies on this machine, and what behind ssh. */
export interface Vantage {
  onVerda: boolean
  verda: Host
  /** This machine: Mello's copies can be seen nowhere else. */
  mello: Host
  close(): Promise<void>
}

/**
 * This machine is Verda when VERDA_SSH says `local`, when the share is mounted here, or when Verda's address is one of its own. A
 * hanging share is not touched to find that out.
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
    async close() {
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
