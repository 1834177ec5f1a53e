import type { How } from '../../servers/s3-request.ts'
import type { Kind } from '../round.ts'

const operations = [
  '*',
  '*',
  'PutObject',
  'PutObject',
  'GetObject',
  'HeadObject',
  'ListObjectsV2',
  'UploadPart',
  'CompleteMultipartUpload',
  'CreateMultipartUpload',
]
const hows: readonly How[] = [500, 503, 429, 'reset', 'half', 'lost answer', 'lost answer', 'flipped bit']

/** The store answers with an error, half an answer, a wrong bit, or not at all after doing the work. */
export const s3Answers: Kind = {
  name: 's3-answers',
  weight: 14,
  commands: ['backup-verda', 'backup-verda', 'backup-mello', 'restore', 'verify', 'status'],
  async inject(round) {
    const { world, random } = round
    const faults = Array.from({ length: 1 + random.below(3) }, () => {
      const how = random.pick(hows)
      return {
        operation: how === 'flipped bit' ? 'GetObject' : random.pick(operations),
        how,
        after: random.below(5),
        times: random.pick([1, 1, 2]),
      }
    })
    for (const fault of faults) world.r2.fail(fault)
    const planned = faults.reduce((sum, { times }) => sum + times, 0)
    const run = await round.run()
    const what = faults
      .map(({ operation, how, after, times }) => `${how} ${times}x at ${operation} ${after}`)
      .join(', ')
    return { runs: [run], what, tooLate: world.r2.heal() === planned }
  },
}
