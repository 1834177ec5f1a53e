import { buckets } from '../../lib/inventory.ts'
import { selectCopies } from '../../lib/retention.ts'
import type { Chapter } from '../chapter.ts'
import { goodCopies } from '../copies-on-sfs.ts'

export const whatRotationKeeps: Chapter = {
  title: 'What rotation keeps',
  async tell(stage) {
    const { say, now, weeks } = stage
    const rule = buckets.cache.sfs.keep
    const copies = await goodCopies(stage, 'home-dev')
    const { keep, drop } = selectCopies(copies, ({ time }) => time, rule, now)
    say.line(
      `The rule on SFS is ${rule.daily} daily, ${rule.weekly} weekly and ${rule.monthly} monthly. Of ${weeks * 7} days of /home/dev, these are left:`,
    )
    for (const { copy, reasons } of keep) say.line(`  ${copy.stamp}  ${reasons.join(', ')}`)
    say.line('The newest copy stands for its day, week or month. Nothing is rotated on the object stores.')
    return keep.length > 0 && drop.length === 0
  },
}
