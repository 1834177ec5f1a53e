import { showRestore } from '../../cli/show-restore.ts'
import { restorePlanText } from '../../cli/show-restore-plan.ts'
import { carryOutRestore } from '../../restore/carry-out.ts'
import { prepareRestore } from '../../restore/prepare.ts'
import type { Chapter } from '../chapter.ts'
import { groupsBackedUp } from '../stage.ts'

export const everythingComesBack: Chapter = {
  title: 'Everything comes back',
  async tell(stage) {
    const { say, verda, settings, now } = stage
    say.line(
      'A new instance: restore looks everywhere, shows its plan, and carries it out. On a terminal it asks once in between.',
    )
    const clock = () => now
    const watch = showRestore({ out: say, quiet: false, clock })
    const request = {
      only: groupsBackedUp(stage),
      prefer: 'order',
      withModels: false,
      withContainers: false,
      skipSfs: false,
    } as const
    const { site, steps } = await prepareRestore(settings, request, { root: verda, now, watch })
    say.write(restorePlanText(site.plan, steps))
    say.line()
    const report = await carryOutRestore(site, steps, clock)
    watch.end(report)
    return report.ok
  },
}
