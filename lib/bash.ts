import { childEnvironment } from './hosts/environment.ts'

/**
 * For children of this machine's own that are a few lines of bash: arguments and environment with which nothing of
 * the user's shell gets in (BASH_ENV, and the ~/.bashrc that bash reads when standard input is a socket).
 */
export function bash(script: string, args: readonly string[]): { args: string[]; env: NodeJS.ProcessEnv } {
  return {
    args: ['--norc', '-p', '-o', 'pipefail', '-c', script, 'bash', ...args],
    env: { ...childEnvironment(), LC_ALL: 'C' },
  }
}
