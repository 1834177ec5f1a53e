import { $, type ProcessPromise } from 'zx'
import { systemEnvironment } from '../hosts/environment.ts'

/** Commands of this machine, as one would type them; a failure is an answer, not an error. None of our keys are in their environment. */
export const sh = $({
  quiet: true,
  nothrow: true,
  stdio: ['ignore', 'pipe', 'pipe'],
  env: {
    ...systemEnvironment(),
    LC_ALL: 'C',
    DEBIAN_FRONTEND: 'noninteractive',
    // On Ubuntu, what apt installs restarts other services, tailscaled and ssh among them.
    NEEDRESTART_SUSPEND: '1',
  },
})

/** What a command printed; throws what it complained of when it failed. */
export async function must(command: ProcessPromise): Promise<string> {
  const { exitCode, stdout, stderr, signal } = await command
  if (exitCode === 0) return stdout.trim()
  const said = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join(' ')
  throw new Error(`${command.cmd}: ${said || signal || `exit ${exitCode}`}`)
}

export async function has(command: string): Promise<boolean> {
  return (await sh`command -v ${command}`).exitCode === 0
}

/** The state of a unit as systemd says it: `active`, `inactive`, `failed`, … */
export async function stateOf(unit: string): Promise<string> {
  const { stdout } = await sh`systemctl is-active ${unit}`
  return stdout.trim() || 'unknown'
}
