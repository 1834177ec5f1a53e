import { homedir } from 'node:os'
import path from 'node:path'

/**
 * The folder of what must outlive a run on this machine and is no backup: below XDG_STATE_HOME where that is an absolute path, else in
 * /var/lib for root and in ~/.local/state for everybody else. Whoever writes to it makes it, for its owner alone.
 */
export function stateFolder(xdgStateHome: string | undefined): string {
  const usual = process.getuid?.() === 0 ? '/var/lib' : path.join(homedir(), '.local/state')
  const above = xdgStateHome && path.isAbsolute(xdgStateHome) ? xdgStateHome : usual
  return path.join(above, 'comfyume-backup')
}
