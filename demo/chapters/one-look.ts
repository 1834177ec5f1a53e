import { assess } from '../../lib/status/judge/assess.ts'
import { storesOf, vantageOf } from '../../lib/status/look/access.ts'
import { gather } from '../../lib/status/look/gather.ts'
import { statusText } from '../../lib/status/show/text.ts'
import type { Chapter } from '../chapter.ts'

export const oneLook: Chapter = {
  title: 'One look',
  async tell({ say, settings, now }) {
    const vantage = vantageOf(settings)
    try {
      const wanted = new Set([...storesOf(settings), 'git' as const])
      const { seen } = await gather({ settings, vantage, wanted, memory: {}, markOff: false, now })
      const assessment = assess(seen, [])
      say.line(
        'Could everything be restored right now? status lists first what needs action, with the command for it:',
      )
      // Leaves out the lists of archives, space and prices.
      say.write(statusText(assessment, false).split('\n\nNewest backup')[0] as string)
      say.line(
        'This demo has no container engine, no git repository, and no run on Mello after 18 h. status finds all three.',
      )
      return assessment.findings.every(({ trouble }) => trouble !== 'broken')
    } finally {
      await vantage[Symbol.asyncDispose]()
    }
  },
}
