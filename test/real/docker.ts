import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Engine } from './podman.ts'

/** A Docker daemon with its own storage, which leaves the network and the machine's firewall alone. */
export async function dockerd(storage: string): Promise<Engine & { close(): Promise<void> }> {
  mkdirSync(storage)
  const socket = path.join(storage, 'socket')
  const log = path.join(storage, 'log')
  const daemon = spawn(
    'dockerd',
    [
      ...['data-root', 'exec-root'].flatMap((name) => [`--${name}`, path.join(storage, name)]),
      ...['--pidfile', path.join(storage, 'pid'), '-H', `unix://${socket}`],
      ...['--iptables=false', '--bridge=none', '--storage-driver', 'vfs'],
    ],
    { stdio: ['ignore', openSync(log, 'w'), openSync(log, 'a')] },
  )
  const ended = once(daemon, 'close')
  const command = path.join(storage, 'engine')
  writeFileSync(command, `#!/bin/sh\nexec docker -H unix://${socket} "$@"\n`)
  chmodSync(command, 0o755)
  const run = (...args: string[]) => execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' })
  while (!existsSync(socket)) {
    if (daemon.exitCode !== null) throw new Error(`dockerd: ${readFileSync(log, 'utf8').slice(-2000)}`)
    await sleep(100)
  }
  return {
    command,
    run,
    images: () =>
      run('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')
        .split('\n')
        .filter(Boolean)
        .sort(),
    async close() {
      daemon.kill()
      await ended
    },
  }
}
