import { open } from 'node:fs/promises'
import path from 'node:path'
import type { Chapter } from '../chapter.ts'
import { goodCopies } from '../copies-on-sfs.ts'

export const oneArchiveHasRotted: Chapter = {
  title: 'One archive has rotted',
  async tell(stage) {
    const { say, settings } = stage
    const [newest] = await goodCopies(stage, 'ufw')
    if (newest === undefined) return false
    const file = await open(path.join(settings.sfs.cache, newest.key), 'r+')
    await file.write('rot', (newest.bytes ?? 0) / 2)
    await file.close()
    say.line(
      `Worse: three bytes of ${newest.key} on the share have changed. Its name, size and record still look good.`,
    )
    return true
  },
}
