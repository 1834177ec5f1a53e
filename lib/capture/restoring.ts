import path from 'node:path'
import type { Host } from '../hosts/host.ts'
import { restoringMarker } from '../inventory.ts'
import { runAgain } from '../text.ts'

/**
 * Whether a restore of this machine is unfinished, so that a capture would be incomplete. `unseen`: this user
 * cannot enter the marker's folder. `trace` changes only when a restore starts or ends.
 */
export async function restoreUnderWay(host: Host): Promise<{ is: 'no' | 'yes' | 'unseen'; trace: string }> {
  const marker = `${host.root.replace(/\/$/, '')}${restoringMarker}`
  const { exitCodes, stdout } = await host.run(restoringScript, [marker, path.dirname(marker)])
  const is = exitCodes[0] === 0 ? 'no' : exitCodes[0] === 2 ? 'unseen' : 'yes'
  return { is, trace: stdout.toString() }
}

/** Exported for the tests' simulated machine. The folder's time shows when the marker came or went. */
export const restoringScript = `
stat -c '%i %y' -- "$2" 2>/dev/null
[ ! -e "$1" ] && { [ ! -d "$2" ] || [ -x "$2" ] || (exit 2); }
`

/** Lets this user see the marker. Older versions created its folder for root only. */
export const showMarker = `sudo chmod 711 ${path.dirname(restoringMarker)}`

/** Throws while a restore is unfinished, or if one ran since the first call: captures would be incomplete. */
export function restoreGuard(host: Host): () => Promise<void> {
  let first: string | undefined
  return async () => {
    const { is, trace } = await restoreUnderWay(host)
    if (is === 'unseen')
      throw new Error(
        `this user cannot see whether ${host.name} is half restored. On ${host.name} run: ${showMarker}`,
      )
    if (is === 'yes')
      throw new Error(
        `${host.name} is half restored (${restoringMarker} is there): nothing is captured until the restore has finished. ` +
          `If none is running, remove that file, or on ${host.name} run: comfyume-backup restore --full`,
      )
    first ??= trace
    if (trace !== first)
      throw new Error(
        `a restore of ${host.name} ran while this was read, so it may be half of it: ${runAgain()}`,
      )
  }
}
