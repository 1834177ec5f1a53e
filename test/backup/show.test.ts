import { expect, it } from 'vitest'
import type { RunEvent } from '../../lib/backup/context.ts'
import { showRun } from '../../lib/backup/show.ts'

/** What the log of a run says of events. */
function logOf(events: readonly RunEvent[], quiet = false): string {
  let log = ''
  const out = {
    write(text: string) {
      log += text
    },
  }
  const show = showRun({ out, quiet, clock: () => new Date('2026-11-24T10:00:00Z') })
  for (const event of events) show(event)
  return log
}

const retry = (failed: number, store = 'r2'): RunEvent => ({
  kind: 'retry',
  store,
  text: `${store} bucket a: could not list: ECONNREFUSED`,
  failed,
  attempts: 10,
})

it('a store that does not answer is named once, and not for what passes at once', () => {
  expect(logOf([retry(1), retry(2)])).toBe('')
  const tries = [1, 2, 3, 4, 5].map((failed) => retry(failed))
  expect(logOf([...tries, ...tries, retry(3, 'hetzner')])).toBe(
    '2026-11-24T10:00:00Z waiting for r2: r2 bucket a: could not list: ECONNREFUSED; trying again, up to 10 times\n' +
      '2026-11-24T10:00:00Z waiting for hetzner: hetzner bucket a: could not list: ECONNREFUSED; trying again, up to 10 times\n',
  )
  expect(logOf(tries, true)).toBe('')
})
