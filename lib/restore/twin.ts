import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemEnvironment } from '../hosts/environment.ts'
import { withScratch } from './scratch.ts'
import { has, sh, stateOf } from './system.ts'

/**
 * Whether another machine has a tailnet address while tailscaled does not have it here. Only a member of the tailnet can see that: the daemon that runs here under
 * another name, or, with a key, a throw-away one that keeps its state in memory. `unknown` without either.
 */
export async function withoutTwin(
  address: string,
  authKey: string | undefined,
): Promise<'answers' | 'silent' | 'unknown'> {
  if ((await stateOf('tailscaled')) === 'active') {
    const { stdout } = await sh`tailscale ip -4`
    if (stdout.trim() !== '' && !stdout.split('\n').includes(address)) return pinged([], address)
  }
  if (authKey === undefined || !(await has('tailscaled'))) return 'unknown'
  return withThrowAway(authKey, (flags) => pinged(flags, address))
}

/** Gives `use` a file with a key that only this user can read: a command line can be read by everybody on this machine. */
export async function withKeyFile<T>(key: string, use: (file: string) => Promise<T>): Promise<T> {
  return withScratch(tmpdir(), async (folder) => {
    const file = path.join(folder, 'key')
    await writeFile(file, key, { mode: 0o600 })
    return use(file)
  })
}

async function pinged(flags: readonly string[], address: string): Promise<'answers' | 'silent'> {
  const { exitCode } = await sh`timeout 20 tailscale ${flags} ping --c 3 --timeout 3s ${address}`
  return exitCode === 0 ? 'answers' : 'silent'
}

/** A second tailscaled without a device, a port or files of its own; the key must be one that can be used more than once. */
async function withThrowAway<T>(
  authKey: string,
  use: (flags: readonly string[]) => Promise<T>,
): Promise<T | 'unknown'> {
  return withScratch(tmpdir(), async (folder) => {
    const socket = path.join(folder, 'socket')
    const daemon = spawn(
      'tailscaled',
      ['--state=mem:', '--tun=userspace-networking', '--port=0', `--socket=${socket}`],
      { env: systemEnvironment(), stdio: 'ignore' },
    )
    daemon.on('error', () => {})
    const flags = [`--socket=${socket}`]
    try {
      for (let tries = 0; tries < 20; tries++) {
        await sleep(250)
        if ((await sh`test -S ${socket}`).exitCode === 0) break
      }
      const up = await withKeyFile(
        authKey,
        (file) =>
          sh`timeout 30 tailscale ${flags} up --ssh=false --hostname=restore-probe --auth-key=file:${file}`,
      )
      return up.exitCode === 0 ? await use(flags) : 'unknown'
    } finally {
      daemon.kill()
    }
  })
}
