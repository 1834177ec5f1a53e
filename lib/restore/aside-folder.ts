import { stat } from 'node:fs/promises'
import { makeStamp } from '../naming.ts'
import { below } from './site.ts'

/** Where a run keeps what it overwrites: a folder that no other run has, not even one of the same minute. */
export async function asideFolder(root: string, now: Date): Promise<string> {
  const first = below(root, `/var/lib/comfyume-backup/kept-aside/${makeStamp(now, 'minute')}`)
  for (let run = 1; ; run++) {
    const folder = run === 1 ? first : `${first}-${run}`
    if ((await stat(folder).catch(() => undefined)) === undefined) return folder
  }
}
