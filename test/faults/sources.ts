import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'

/** The sources of an item, written here a second time because the inventory is under test too. */
export interface SourceOf {
  host: 'verda' | 'mello' | 'images'
  /** Files and folders, relative to the host's root. */
  paths: readonly string[]
  without?: readonly string[]
  /** The engine's output has no times. */
  timeless?: true
}

const project = 'home/dev/comfyume-v1'

export const sources: Record<string, SourceOf> = {
  env: { host: 'verda', paths: [`${project}/.env`] },
  ufw: { host: 'verda', paths: ['etc/ufw'] },
  tailscale: { host: 'verda', paths: ['var/lib/tailscale'] },
  // A drill restores the users' files, which belong to Mello, below the same folder.
  'home-dev': { host: 'verda', paths: ['home/dev'], without: [`${project}/.env`, `${project}/data`] },
  'root-home': { host: 'verda', paths: ['root'] },
  fail2ban: { host: 'verda', paths: ['etc/fail2ban'] },
  'ssh-host-keys': {
    host: 'verda',
    paths: ['rsa_key', 'rsa_key.pub', 'ed25519_key', 'ed25519_key.pub'].map(
      (name) => `etc/ssh/ssh_host_${name}`,
    ),
  },
  ...Object.fromEntries(
    ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'].map((name) => [
      `comfyume-${name}`,
      { host: 'images', paths: [`comfyume-${name}`], timeless: true } as const,
    ]),
  ),
  'user-data': {
    host: 'mello',
    paths: ['workflows', 'inputs', 'user_data'].map((name) => `${project}/data/${name}`),
  },
  'user-outputs': { host: 'mello', paths: [`${project}/data/outputs`] },
  credentials: { host: 'mello', paths: [`${project}/.env`, `${project}/nginx/.htpasswd`] },
}

/**
 * One digest of path, kind, mode, mtime and content of everything below the paths. Skips a folder's time,
 * which changes when another item is restored into it.
 */
export function stateOf(root: string, { paths, without = [], timeless }: Omit<SourceOf, 'host'>): string {
  const lines: string[] = []
  const visit = (name: string) => {
    if (without.includes(name)) return
    const file = path.join(root, name)
    const about = lstatSync(file, { bigint: true, throwIfNoEntry: false })
    if (about === undefined) return
    const mode = (Number(about.mode) & 0o7777).toString(8)
    const kind = about.isDirectory() ? 'd' : about.isSymbolicLink() ? 'l' : 'f'
    const content = kind === 'f' ? sha256(readFileSync(file)) : kind === 'l' ? readlinkSync(file) : ''
    const time = timeless || kind === 'd' ? '' : about.mtimeNs
    lines.push([name, kind, mode, time, content].join('\0'))
    if (kind === 'd') for (const entry of readdirSync(file).sort()) visit(path.join(name, entry))
  }
  for (const each of paths) visit(each)
  if (lines.length === 0) return 'nothing'
  const state = sha256(lines.join('\n'))
  seen.set(state, lines)
  return state
}

/** Every state seen by this process, to describe in words how two differ. */
const seen = new Map<string, string[]>()

/** The paths in which two states differ. */
export function difference(is: string, was: string): string {
  const [here, there] = [seen.get(is) ?? [], seen.get(was) ?? []]
  const said = (sign: string, from: string[], other: string[]) =>
    from.filter((line) => !other.includes(line)).map((line) => `${sign} ${line.replaceAll('\0', ' ')}`)
  return [...said('+', here, there), ...said('-', there, here)].slice(0, 6).join('; ')
}

export function sha256(content: string | Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
