import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeScratch } from '../scratch.ts'
import { within } from '../within.ts'
import { childEnvironment } from './environment.ts'
import { HostError } from './host.ts'
import { errorLines } from './lines.ts'
import { shellLine } from './script.ts'
import type { SshOptions } from './ssh.ts'
import { sshFailure } from './ssh-failure.ts'

/** What the shared connection's socket is, and who we are at its far end. */
export interface FarEnd {
  socket: string
  user: string
  isRoot: boolean
}

/**
 * One shared connection: an ssh in the foreground, whose far end is a `cat` that ends when its input does. So it goes
 * when this process goes, however that ends. `open` makes it at the first call and after a loss.
 */
export function sshConnection(options: SshOptions) {
  const { greetingSeconds: greeting = 60 } = options
  let folder: Promise<string> | undefined
  let master: ChildProcessWithoutNullStreams | undefined
  let farEnd: Promise<FarEnd> | undefined
  let made = 0

  const connect = async (): Promise<FarEnd> => {
    folder ??= privateFolder()
    // A number of its own: a master that was killed leaves its socket behind.
    const socket = join(await folder, String(++made))
    const mark = `@comfyume-here-${randomBytes(8).toString('hex')}`
    const args = [...sshOptions(options), '-M', '-S', socket, '-o', 'ControlPersist=no']
    const child = spawn(
      'ssh',
      [...args, '--', options.destination, shellLine(['sh', '-c', WHO, 'sh', mark])],
      {
        detached: true,
        env: childEnvironment(),
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    )
    master = child
    const forget = () => {
      if (master !== child) return
      master = undefined
      farEnd = undefined
    }
    child.on('error', forget).on('exit', forget)
    child.stdin.on('error', () => {})
    try {
      return await within(greeting, whoAnswers(options, child, socket, mark), () => silent(options, greeting))
    } catch (error) {
      child.kill()
      forget()
      throw error
    }
  }

  return {
    open: () => {
      farEnd ??= connect()
      return farEnd
    },
    async close() {
      const [child, path] = [master, await folder]
      folder = undefined
      if (child?.kill()) await once(child, 'exit')
      if (path) await rm(path, { recursive: true, force: true })
    },
  }
}

/**
 * What every ssh of ours is told, whatever the user's configuration says: nothing leads back from the far end to this machine (no agent, no display, no forwarding, no
 * network device), and its host key is one that is known here, by no other proof.
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

/** The path of a unix socket may hold some hundred bytes, and ssh adds seventeen: not below a long TMPDIR. */
function privateFolder(): Promise<string> {
  return makeScratch('/tmp', 'comfyume-ssh')
}

/** POSIX sh. The first `\n` frees the line from what a login shell may have printed without one. */
const WHO = `printf '\\n%s %s %s %s\\n' "$1" "$(id -u)" "$(id -un)" "$(command -v bash)"; exec cat`

/** Waits for the far end's line. Throws HostError when the connection ends before it. */
async function whoAnswers(
  options: SshOptions,
  child: ChildProcessWithoutNullStreams,
  socket: string,
  mark: string,
): Promise<FarEnd> {
  const other = errorLines()
  child.stderr.on('data', (chunk) => other.push(chunk))
  const answer = new Promise<{ answered: string[] }>((found) => {
    const lines = errorLines((line) => {
      if (line.startsWith(mark)) found({ answered: line.split(' ').slice(1) })
      else other.push(Buffer.from(`${line}\n`))
      return true
    })
    child.stdout.on('data', (chunk) => lines.push(chunk))
  })
  const close = once(child, 'close').then(([code]) => ({ code: Number(code) }), notStarted(options.name))
  const first = await Promise.race([answer, close])
  if ('code' in first) throw noAnswer(options, first.code, other.finish().trim())
  const [uid, user = '', bash] = first.answered
  if (!bash) throw new HostError(`${options.name} has no bash: install it there (apt-get install bash)`)
  return { socket, user, isRoot: uid === '0' }
}

/** 255 is ssh's own; any other code comes from the far end's login shell. */
function noAnswer(options: SshOptions, code: number, said: string): HostError {
  if (code === 255) return sshFailure(options, said)
  return new HostError(
    `${options.name}: the login shell there ran no command (exit ${code}). Try by hand: ssh ${options.destination} true\n` +
      `It said: ${said.slice(-500) || 'nothing'}`,
  )
}

/** ssh's own limit is for the connection alone. */
function silent({ name, destination }: SshOptions, seconds: number): HostError {
  return new HostError(
    `${name}: the login there was accepted, but no command ran within ${seconds} s. Try by hand: ssh ${destination} true. A home on a share that hangs is the usual cause`,
  )
}

const notStarted = (name: string) => (error: Error) => {
  throw new HostError(`${name}: ssh could not be started (${error.message}): install openssh-client`, {
    cause: error,
  })
}
