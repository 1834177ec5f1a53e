import { rename } from 'node:fs/promises'
import path from 'node:path'
import { showRun } from '../../lib/backup/show.ts'
import { moment } from '../calendar.ts'
import type { Chapter } from '../chapter.ts'
import { goodCopies } from '../copies-on-sfs.ts'
import { backUp, planRun } from '../stage.ts'

export const aBadHour: Chapter = {
  title: 'A bad hour',
  async tell(stage) {
    const { say, folder, verda, weeks } = stage
    say.line(
      'The tailscale state is missing. An empty backup would be worse than none, so that item fails and is',
    )
    say.line('named. The others go on:')
    const [state, aside] = [path.join(verda, 'var/lib/tailscale'), path.join(folder, 'aside')]
    const before = await goodCopies(stage, 'tailscale')
    const plan = planRun(stage, moment(weeks * 7 - 1, 21, 5))
    const show = showRun({ out: say, quiet: true, clock: () => plan.now })
    await rename(state, aside)
    const report = await backUp(stage, plan, show)
    await rename(aside, state)
    show({ kind: 'end', report })
    const after = await goodCopies(stage, 'tailscale')
    say.line(`Its ${after.length} older copies stay: nothing is rotated away without a newer one.`)
    const failed = report.items.filter(({ status }) => status === 'failed').map(({ item }) => item)
    return failed.join() === 'tailscale' && after.length === before.length
  },
}
