import { showRun } from '../../lib/backup/show.ts'
import { moment } from '../calendar.ts'
import type { Chapter } from '../chapter.ts'
import { backUp, planRun } from '../stage.ts'

export const theFirstHour: Chapter = {
  title: 'The first hour',
  async tell(stage) {
    const { say } = stage
    say.line("Verda's crontab runs backup-cron every hour. This is what it writes to its log:")
    const plan = planRun(stage, moment(0, 0, 5))
    const show = showRun({ out: say, quiet: false, clock: () => plan.now })
    const report = await backUp(stage, plan, show)
    show({ kind: 'end', report })
    say.line(
      'Each archive was read back from the share before it counted. The record next to it holds the digest,',
    )
    say.line('for sha256sum -c, and when, where and from what the archive was made.')
    return report.ok
  },
}
