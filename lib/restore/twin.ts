import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemEnvironment } from '../hosts/environment.ts'
import { withScratch } from '../scratch.ts'
import { has, sh } from './system.ts'
import { tailscaledHere } from './tailscaled.ts'

/**
 * Whether another machine has a tailnet address while tailscaled does not have it here. Only a member of the tailnet can see that: the daemon that runs here under
 * another name, or, with a key, a throw-away one that keeps its state in memory. `unknown` without either, or where it does not know of such a machine.
 */
export async function withoutTwin(
  address: string,
  authKey: string | undefined,
): Promise<'answers' | 'silent' | 'unknown'> {
  const here = await tailscaledHere()
  if (here.state === 'Running' && here.address !== address) return pinged([], address)
  if (authKey === undefined || !(await has('tailscaled'))) return 'unknown'
  return withThrowAway(authKey, (flags) => pinged(flags, address))
}

/** Gives `use` a file with a key that only this user can read: a command line can be read by everybody on this machine. */
export async function withKeyFile<T>(key: string, use: (file: string) => Promise<T>): Promise<T> {
  return withScratch(tmpdir(), '.comfyume-restore', async (folder) => {
    const file = path.join(folder, 'key')
    await writeFile(file, key, { mode: 0o600 })
    return use(file)
  })
}

async function pinged(flags: readonly string[], address: string): Promise<'answers' | 'silent' | 'unknown'> {
  const { peers } = await tailscaledHere(flags)
  // Rules of the tailnet may hide it.
  if (!peers.includes(address)) return 'unknown'
  const { exitCode } = await sh`timeout 20 tailscale ${flags} ping --c 3 --timeout 3s ${address}`
  return exitCode === 0 ? 'answers' : 'silent'
}

/**
 * A second tailscaled without a device, a port or files of its own, which is over in two minutes even if this process is killed; the key must be one that can be used
 * more than once.
 */
async function withThrowAway<T>(
  authKey: string,
  use: (flags: readonly string[]) => Promise<T>,
): Promise<T | 'unknown'> {
  return withScratch(tmpdir(), '.comfyume-restore', async (folder) => {
    const socket = path.join(folder, 'socket')
    const daemon = spawn(
      'timeout',
      ['120', 'tailscaled', '--state=mem:', '--tun=userspace-networking', '--port=0', `--socket=${socket}`],
      { env: { ...systemEnvironment(), TS_LOGS_DIR: folder }, stdio: 'ignore' },
    )
    const ended = new Promise((resolve) => daemon.once('close', resolve))
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
      // It takes itself off the tailnet before it ends.
      daemon.kill()
      await Promise.race([ended, sleep(10_000)])
    }
  })
}
