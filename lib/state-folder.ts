import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { isAlive } from './owner.ts'

/**
 * The folder of what must outlive a run on this machine and is no backup: below XDG_STATE_HOME where that is an absolute path, else in
 * /var/lib for root and in ~/.local/state for everybody else. writeState makes it, for its owner alone.
 */
export function stateFolder(xdgStateHome: string | undefined): string {
  const usual = process.getuid?.() === 0 ? '/var/lib' : path.join(homedir(), '.local/state')
  const above = xdgStateHome && path.isAbsolute(xdgStateHome) ? xdgStateHome : usual
  return path.join(above, 'comfyume-backup')
}

/** Puts a file into the state folder, whole or not at all: a power cut leaves the one before it. */
export async function writeState(file: string, text: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 })
  await removeLeftOver(file)
  const partial = `${file}.${process.pid}`
  try {
    const handle = await open(partial, 'w', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(partial, file)
  } catch (error) {
    await unlink(partial).catch(() => {})
    throw error
  }
}

/** What killed runs had begun to write. */
async function removeLeftOver(file: string): Promise<void> {
  const names = await readdir(path.dirname(file)).catch(() => [])
  for (const name of names) {
    const [, pid] = name.startsWith(`${path.basename(file)}.`) ? (/\.(\d+)$/.exec(name) ?? []) : []
    if (pid !== undefined && !isAlive(Number(pid), 0))
      await unlink(path.join(path.dirname(file), name)).catch(() => {})
  }
}
