import { $, type ProcessPromise } from 'zx'
import { childEnvironment, systemPath } from './process.ts'

/** Runs commands on this machine without our keys in the environment. A failure is returned, not thrown. */
export const sh = $({
  quiet: true,
  nothrow: true,
  stdio: ['ignore', 'pipe', 'pipe'],
  env: {
    ...childEnvironment(),
    PATH: systemPath(),
    DEBIAN_FRONTEND: 'noninteractive',
    // On Ubuntu, apt restarts other services after an installation, including tailscaled and ssh.
    NEEDRESTART_SUSPEND: '1',
  },
})

/** The command's output. Throws its error output when it fails. */
export async function must(command: ProcessPromise): Promise<string> {
  const { exitCode, stdout, stderr, signal } = await command
  if (exitCode === 0) return stdout.trim()
  const said = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join(' ')
  throw new Error(`${command.cmd}: ${said || signal || `exit ${exitCode}`}`)
}

export async function has(command: string): Promise<boolean> {
  return (await sh`command -v ${command}`).exitCode === 0
}

/** The state of a unit in systemd's words: `active`, `inactive`, `failed`, … */
export async function stateOf(unit: string): Promise<string> {
  const { stdout } = await sh`systemctl is-active ${unit}`
  return stdout.trim() || 'unknown'
}
