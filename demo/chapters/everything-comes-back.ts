import { carryOutRestore, prepareRestore } from '../../lib/restore/run.ts'
import { restorePlanText, showRestore } from '../../lib/restore/show.ts'
import type { Chapter } from '../chapter.ts'
import { groupsBackedUp } from '../stage.ts'

export const everythingComesBack: Chapter = {
  title: 'Everything comes back',
  async tell(stage) {
    const { say, verda, settings, now } = stage
    say.line(
      'On a new instance, restore looks in all sources, shows its plan, asks once on a terminal, and carries it out.',
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
    const { context, steps } = await prepareRestore(settings, request, { root: verda, now, watch })
    say.write(restorePlanText(context.plan, steps))
    say.line()
    const report = await carryOutRestore(context, steps, clock)
    watch.end(report)
    return report.ok
  },
}
