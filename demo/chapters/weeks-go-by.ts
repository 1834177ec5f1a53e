import type { Report } from '../../lib/backup/report.ts'
import { bytesInWords } from '../../lib/text.ts'
import { moment } from '../calendar.ts'
import type { Chapter } from '../chapter.ts'
import { backUp, planRun, type Stage } from '../stage.ts'
import { workADay, workAnHour } from '../verda.ts'

const homes = ['home-dev', 'root-home', 'scripts']
const lastDayHours = [2, 8, 14, 20]

export const weeksGoBy: Chapter = {
  title: 'Weeks go by',
  async tell(stage) {
    const { say, verda, weeks } = stage
    const days = weeks * 7
    say.line(
      `${days} days, with people at work in between. cron starts these runs every hour. To save time, here`,
    )
    say.line(`each of its lines runs once a day, and at ${lastDayHours.join(', ')} h on the last day.`)
    const reports: Report[] = []
    for (let day = 0; day < days; day++) {
      await workADay(verda, day)
      for (const hour of day === days - 1 ? lastDayHours : [20]) {
        await workAnHour(verda)
        const runs = [
          backUp(stage, planRun(stage, moment(day, hour, 5))),
          backUp(stage, planRun(stage, moment(day, hour, 20), homes)),
        ]
        reports.push(...(await Promise.all(runs)))
      }
    }
    tellNumbers(stage, reports)
    return reports.every(({ ok }) => ok)
  },
}

function tellNumbers({ say }: Stage, reports: readonly Report[]): void {
  const outcomes = reports.flatMap(({ items }) => items.flatMap(({ stores }) => stores.sfs ?? []))
  const stored = outcomes.filter(({ status }) => status === 'stored')
  const sum = (some: typeof outcomes) => bytesInWords(some.reduce((total, { bytes = 0 }) => total + bytes, 0))
  const rotated = reports.flatMap((report) => report.rotated)
  say.line(
    `${reports.length} runs looked at ${outcomes.length} items. ${stored.length} had changed and were stored, ${sum(stored)} in all. For the others`,
  )
  say.line(
    `a new day got a link to the same bytes. Storing all of them every time would have taken ${sum(outcomes)}.`,
  )
  say.line(
    `${rotated.length} archives were rotated away${rotated.length > 0 ? '. The log says of the last one:' : '.'}`,
  )
  const last = rotated.at(-1)
  if (last) say.write(`rotated ${last.store}: removed ${last.key}: ${last.reasons.join('; ')}`)
}
