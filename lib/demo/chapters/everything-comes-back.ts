import path from 'node:path'
import { restoreByHand } from '../by-hand.ts'
import type { Chapter } from '../chapter.ts'
import { goodCopies } from '../copies-on-sfs.ts'
import { planRun } from '../stage.ts'

export const everythingComesBack: Chapter = {
  title: 'Everything comes back',
  async tell(stage) {
    const { say, verda, settings } = stage
    say.line('A new instance, and nothing but the share: the newest archive of each item, by hand.')
    for (const { item } of planRun(stage, stage.now, ['config', 'scripts']).jobs) {
      const [newest] = await goodCopies(stage, item)
      if (newest === undefined) return false
      const folder = path.join(settings.sfs.cache, path.dirname(newest.key))
      const archive = path.basename(newest.key)
      say.write(await restoreByHand(folder, archive, verda))
    }
    return true
  },
}
