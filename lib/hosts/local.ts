import { userInfo } from 'node:os'
import { runAgain } from '../text.ts'
import { type Host, HostError } from './host.ts'
import { start } from './process.ts'
import { SUDO, sudoAdvice } from './script.ts'
import { hostBy, type Lost, type Transport } from './stream.ts'

/** This machine. With `sudo` scripts run as root through `sudo -n`, otherwise as the current user. */
export function localHost(
  options: Pick<Transport, 'name' | 'root' | 'silentSeconds'> & { sudo?: boolean },
): Host {
  const { sudo = false, ...transport } = options
  const { name } = transport
  return hostBy({
    ...transport,
    start: (script) => {
      const command = sudo ? [...SUDO, ...script] : script
      return start(command, { group: true }).catch((error) => {
        throw notStarted(name, command[0] as string, error)
      })
    },
    explain: (lost) => (lost.begun ? killed(name, lost) : notBegun(name, sudo, lost)),
    close: async () => {},
  })
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
    `${name}: a command was killed before it finished (${signal ?? `exit ${code}`}), so nothing it wrote can be trusted. ` +
      `Last output: ${said.slice(-500) || 'nothing'}. Check for a lack of memory (journalctl -k | grep -i oom), then ${runAgain()}`,
  )
}
