import { childEnvironment } from '../hosts/environment.ts'
import { sshOptions } from '../hosts/ssh-connection.ts'

/** A git address made safe to be seen: what it held of a user and a password goes to git another way. */
export interface Remote {
  /** For git's command line. */
  address: string
  environment: Record<string, string>
}

/** A token in an https address would stand in the process list, so it is handed to git by a credential helper that reads it from the environment. */
export function remoteOf(address: string): Remote {
  const url = /^https?:/.test(address) ? new URL(address) : undefined
  if (!url?.username) return { address, environment: {} }
  const { username, password } = url
  url.username = url.password = ''
  return {
    address: url.href,
    environment: {
      COMFYUME_GIT_USER: decodeURIComponent(username),
      COMFYUME_GIT_PASSWORD: decodeURIComponent(password),
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'credential.helper',
      GIT_CONFIG_VALUE_0:
        '!f() { echo "username=$COMFYUME_GIT_USER"; echo "password=$COMFYUME_GIT_PASSWORD"; }; f',
    },
  }
}

export interface GitOutcome {
  exitCode: number
  stdout: string
  /** Trimmed, and without what an address in it held of a user and a password. */
  stderr: string
}

/**
 * Runs git in a folder, asking nobody anything, whoever this process belongs to, and whatever it has in its environment: a GIT_DIR of somebody's hook would have
 * the credentials committed elsewhere, a GIT_TRACE_CURL would print passwords.
 */
export async function git(
  folder: string,
  args: readonly string[],
  { environment }: Remote,
): Promise<GitOutcome> {
  // Loaded here, because every start would wait for it and few runs need it.
  const { execa } = await import('execa')
  const { exitCode, stdout, stderr } = await execa('git', [...identity, ...args], {
    cwd: folder,
    reject: false,
    stdin: 'ignore',
    extendEnv: false,
    env: {
      ...childEnvironment(),
      LC_ALL: 'C',
      GIT_TERMINAL_PROMPT: '0',
      GIT_SSH_COMMAND: ['ssh', ...sshOptions()].join(' '),
      ...environment,
    },
  })
  return { exitCode: exitCode ?? 1, stdout, stderr: stderr.trim().replaceAll(/:\/\/[^/@\s]*@/g, '://') }
}

/** No hooks of the machine, and no links from the repository that a write could follow. */
const identity = [
  ['user.name', 'comfyume-backup'],
  ['user.email', 'comfyume-backup@localhost'],
  ['commit.gpgSign', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['core.symlinks', 'false'],
  ['core.autocrlf', 'false'],
].flatMap(([name, value]) => ['-c', `${name}=${value}`])
