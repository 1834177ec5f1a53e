import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeScratch } from '../files/scratch.ts'
import { runAgain } from '../text.ts'
import { type Host, HostError } from './host.ts'
import { errorLines } from './lines.ts'
import { type Child, start, within } from './process.ts'
import { SUDO, shellLine, sudoAdvice } from './script.ts'
import { sshFailure } from './ssh-failure.ts'
import { hostBy, type Lost } from './stream.ts'

export interface SshOptions {
  name: string
  root: string
  /** A destination for `ssh`: a name in its configuration, or `user@host`. */
  destination: string
  /** For `ssh -F`. Default: the user's own configuration. */
  configFile?: string
  /** Seconds from login to the first command. Default: 60. */
  greetingSeconds?: number
}

/**
 * A machine behind the system's `ssh`, with the user's configuration, keys and agent. All calls share one
 * connection, which is opened on first use and after a loss. Scripts run as root, through `sudo -n` if
 * needed.
 */
export function sshHost(options: SshOptions): Host {
  const { name, root, destination } = options
  if (!/^[^-\s]\S*$/.test(destination)) {
    throw new HostError(
      `${name}: ${JSON.stringify(destination)} is no destination for ssh (VERDA_SSH): user@host, or a name from ~/.ssh/config`,
    )
  }
  const connection = sshConnection(options)
  let user = 'root'

  return hostBy({
    name,
    root,
    async start(script) {
      const far = await connection.open()
      user = far.user
      const line = shellLine(far.isRoot ? script : [...SUDO, ...script])
      return startSsh(options, ['-S', far.socket, '-o', 'ControlMaster=no'], line)
    },
    explain: (lost) => (lost.begun ? cutOff(name, lost) : notBegun(options, user, lost)),
    close: () => connection.close(),
  })
}

async function startSsh(options: SshOptions, flags: string[], line: string): Promise<Child> {
  const command = ['ssh', ...sshOptions(options), ...flags, '--', options.destination, line]
  return start(command, { group: true }).catch((error) => {
    throw new HostError(
      `${options.name}: ssh could not be started (${error.message}): install openssh-client`,
      { cause: error },
    )
  })
}

function cutOff(name: string, { said }: Lost): HostError {
  return new HostError(
    `${name}: the connection was lost midway, or the command there was killed: nothing that it sent can be trusted. ` +
      `Last output: ${said.slice(-500) || 'nothing'}. Check that the instance still runs and its tailscale is up, then ${runAgain()}`,
  )
}

/** 255 is ssh's own code. Any other comes from the far host, which did not start the script. */
function notBegun(options: SshOptions, user: string, lost: Lost): HostError {
  if (lost.code === 255) return sshFailure(options, lost.said)
  const said = lost.said || 'it said nothing'
  if (user === 'root')
    return new HostError(`${options.name}: bash did not start there (exit ${lost.code}): ${said}`)
  return new HostError(
    `${options.name}: sudo did not start bash there (exit ${lost.code}): ${said}\n${sudoAdvice(user)}`,
  )
}

/** The shared connection's socket, and the user on the far host. */
interface FarEnd {
  socket: string
  user: string
  isRoot: boolean
}

/** One shared connection: a foreground ssh that runs `cat`, which ends when this process ends in any way. */
function sshConnection(options: SshOptions) {
  const { greetingSeconds: greeting = 60 } = options
  let folder: Promise<string> | undefined
  let master: Child | undefined
  let farEnd: Promise<FarEnd> | undefined
  let made = 0
  let first: Promise<never> | undefined

  const connect = async (): Promise<FarEnd> => {
    // Not in TMPDIR: the path of a unix socket is limited to about 100 bytes.
    folder ??= makeScratch('/tmp', 'comfyume-ssh')
    // A new number each time, because a killed master leaves its socket behind.
    const socket = join(await folder, String(++made))
    const mark = `@comfyume-here-${randomBytes(8).toString('hex')}`
    const line = shellLine(['sh', '-c', WHO, 'sh', mark])
    const child = await startSsh(options, ['-M', '-S', socket, '-o', 'ControlPersist=no'], line)
    master = child
    const forget = () => {
      if (master !== child) return
      master = undefined
      farEnd = undefined
    }
    void child.ended.then(forget)
    try {
      return await within(greeting, whoAnswers(options, child, socket, mark), () => silent(options, greeting))
    } catch (error) {
      child.kill()
      forget()
      // A host that never answered is tried only once per run.
      if (made === 1) first = Promise.reject(error)
      first?.catch(() => {})
      throw error
    }
  }

  return {
    open: () => {
      farEnd ??= first ?? connect()
      return farEnd
    },
    async close() {
      const [child, path] = [master, await folder]
      folder = undefined
      child?.kill()
      await child?.ended
      if (path) await rm(path, { recursive: true, force: true })
    },
  }
}

/**
 * Options that override the user's configuration. Nothing leads back from the far host to this machine: no
 * agent, display, forwarding or network device. Only known host keys are accepted.
 */
export function sshOptions({ configFile }: Pick<SshOptions, 'configFile'> = {}): string[] {
  const settings = {
    AddKeysToAgent: 'no',
    BatchMode: 'yes',
    ClearAllForwardings: 'yes',
    ConnectTimeout: '15',
    ForwardAgent: 'no',
    ForwardX11: 'no',
    GSSAPIDelegateCredentials: 'no',
    LogLevel: 'ERROR',
    NoHostAuthenticationForLocalhost: 'no',
    PermitLocalCommand: 'no',
    RemoteCommand: 'none',
    RequestTTY: 'no',
    ServerAliveCountMax: '4',
    ServerAliveInterval: '15',
    StrictHostKeyChecking: 'yes',
    Tunnel: 'no',
    UpdateHostKeys: 'no',
    VerifyHostKeyDNS: 'no',
  }
  const flags = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`])
  return [...(configFile ? ['-F', configFile] : []), '-T', ...flags]
}

/** POSIX sh. The first `\n` separates the line from a login shell's unfinished output. */
const WHO = `printf '\\n%s %s %s %s\\n' "$1" "$(id -u)" "$(id -un)" "$(command -v bash)"; exec cat`

/** Waits for the line from the far host. Throws HostError when the connection ends first. */
async function whoAnswers(options: SshOptions, child: Child, socket: string, mark: string): Promise<FarEnd> {
  const other = errorLines()
  child.stderr.on('data', (chunk) => other.push(chunk)).resume()
  const answer = new Promise<{ answered: string[] }>((found) => {
    const lines = errorLines((line) => {
      if (line.startsWith(mark)) found({ answered: line.split(' ').slice(1) })
      else other.push(Buffer.from(`${line}\n`))
      return true
    })
    child.stdout.on('data', (chunk) => lines.push(chunk)).resume()
  })
  const first = await Promise.race([answer, child.ended])
  if (!('answered' in first)) throw noAnswer(options, first.code, other.finish().trim())
  const [uid, user = '', bash] = first.answered
  if (!bash) throw new HostError(`${options.name} has no bash: install it there (apt-get install bash)`)
  return { socket, user, isRoot: uid === '0' }
}

/** 255 is ssh's own code. Any other comes from the login shell on the far host. */
function noAnswer(options: SshOptions, code: number | undefined, said: string): HostError {
  if (code === 255) return sshFailure(options, said)
  return new HostError(
    `${options.name}: the login shell there ran no command (exit ${code}). Try by hand: ssh ${options.destination} true\n` +
      `It said: ${said.slice(-500) || 'nothing'}`,
  )
}

/** ssh's own timeout covers only the connection. */
function silent({ name, destination }: SshOptions, seconds: number): HostError {
  return new HostError(
    `${name}: the login there was accepted, but no command ran within ${seconds} s. Try by hand: ssh ${destination} true. A home on a share that hangs is the usual cause`,
  )
}
