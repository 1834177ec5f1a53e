import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { userInfo } from 'node:os'
import { childEnvironment } from './environment.ts'
import { type Host, HostError } from './host.ts'
import { SUDO, sudoAdvice } from './sudo.ts'
import { type Child, hostBy, type Lost, type Way } from './way.ts'

/** This machine. With `sudo`, scripts run as root through `sudo -n`; else as the user who runs this. */
export function localHost({
  name,
  root,
  sudo = false,
}: {
  name: string
  root: string
  sudo?: boolean
}): Host {
  const way: Way = {
    name,
    async start({ argv }, stdout) {
      const [file = '', ...args] = sudo ? [...SUDO, ...argv] : argv
      try {
        const child = spawn(file, args, {
          detached: true,
          env: childEnvironment(),
          stdio: ['pipe', stdout, 'pipe'],
        })
        await once(child, 'spawn')
        return child as Child
      } catch (error) {
        throw notStarted(name, file, error as NodeJS.ErrnoException)
      }
    },
    explain: (lost) => (lost.begun ? killed(name, lost) : notBegun(name, sudo, lost)),
    close: async () => {},
  }
  return hostBy(way, root)
}

function notStarted(name: string, file: string, error: NodeJS.ErrnoException): HostError {
  const todo =
    error.code !== 'ENOENT' ? '' : file === 'sudo' ? `\n${sudoAdvice(userInfo().username)}` : ': install it'
  return new HostError(`${name}: ${file} could not be started (${error.message})${todo}`, { cause: error })
}

function notBegun(name: string, sudo: boolean, { code, signal, said }: Lost): HostError {
  const what = sudo ? 'sudo did not start bash' : 'bash did not start the script'
  const advice = sudo ? `\n${sudoAdvice(userInfo().username)}` : ''
  return new HostError(
    `${name}: ${what} (${signal ?? `exit ${code}`}): ${said || 'it said nothing'}${advice}`,
  )
}

function killed(name: string, { code, signal, said }: Lost): HostError {
  return new HostError(
    `${name}: a command was killed before its end (${signal ?? `exit ${code}`}), nothing that it wrote can be trusted. ` +
      `Look for a lack of memory (journalctl -k | grep -i oom) and run it again. It said last: ${said.slice(-500) || 'nothing'}`,
  )
}
