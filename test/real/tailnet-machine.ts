import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Tailnet } from '../servers/tailnet.ts'

/** A machine where `systemctl` and `tailscale` work as on a new instance, without systemd. */
export interface TailnetMachine {
  /** First in the PATH of its programs: `systemctl`, `tailscale`, `tailscaled`. */
  bin: string
  /** Where its tailscaled keeps its state. */
  stateDir: string
  /** Every call of systemctl and tailscale so far, oldest first: `systemctl start tailscaled`. */
  calls(): string[]
  /** Its tailscaled's log. */
  log(): string
  /** Stops its tailscaled without a logged call, like an instance that vanishes. */
  kill(): void
  /** Stops its tailscaled and removes the shims; `root` stays. */
  close(): Promise<void>
}

/** Sets up a machine below `root`: tailscaled is installed, neither masked nor enabled, and has never run. */
export function layTailnetMachine(tailnet: Tailnet, root: string): TailnetMachine {
  const folder = mkdtempSync(path.join(tmpdir(), 'tailnet-machine-'))
  const file = (...parts: string[]) => path.join(folder, ...parts)
  mkdirSync(file('bin'))
  for (const name of ['systemctl', 'tailscale']) {
    copyFileSync(path.join(import.meta.dirname, 'tailnet-machine', name), file('bin', name))
  }
  symlinkSync(tailnet.tailscaled, file('bin/tailscaled'))
  const settings = {
    root: root === '/' ? '' : root,
    state: folder,
    calls: file('calls'),
    daemon: tailnet.tailscaled,
    tailscale: tailnet.tailscale,
    login_server: tailnet.loginServer,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}='${value}'\n`)
  writeFileSync(file('settings'), lines.join(''))

  const read = (name: string) => (existsSync(file(name)) ? readFileSync(file(name), 'utf8') : '')
  const kill = () => {
    const pid = read('pid').trim()
    if (pid !== '' && existsSync(`/proc/${pid}/exe`)) process.kill(Number(pid), 'SIGKILL')
  }
  return {
    bin: file('bin'),
    stateDir: path.join(root, 'var/lib/tailscale'),
    calls: () => read('calls').split('\n').filter(Boolean),
    log: () => read('log'),
    kill,
    async close() {
      kill()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
