import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { isAlive } from './scratch.ts'

/**
 * The folder for data that must outlive a run and is not a backup. It is below XDG_STATE_HOME if that is an
 * absolute path, otherwise in /var/lib for root and ~/.local/state for other users. writeState creates it,
 * private. It is not the folder of the restore's marker, whose time says whether a restore ran.
 */
export function stateFolder(xdgStateHome: string | undefined): string {
  if (xdgStateHome && path.isAbsolute(xdgStateHome)) return path.join(xdgStateHome, 'comfyume-backup')
  return process.getuid?.() === 0
    ? '/var/lib/comfyume-backup-state'
    : path.join(homedir(), '.local/state/comfyume-backup')
}

/** Writes a file in the state folder atomically: after a power cut the old one is still there. */
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

/** Removes partial files of killed runs. */
async function removeLeftOver(file: string): Promise<void> {
  const names = await readdir(path.dirname(file)).catch(() => [])
  for (const name of names) {
    const [, pid] = name.startsWith(`${path.basename(file)}.`) ? (/\.(\d+)$/.exec(name) ?? []) : []
    if (pid !== undefined && !isAlive(Number(pid), 0))
      await unlink(path.join(path.dirname(file), name)).catch(() => {})
  }
}
