import { afterEach } from 'vitest'
import { endRuns } from '../scripts/in-process.ts'
import { refuseProcesses } from './refuse.ts'

/** Commands of the toolkit run in the tests' own process: see test/scripts/in-process.ts. */
refuseProcesses(
  (words) => /^(?:\S*\/)?(?:tsx|npm|npx|vitest)(?: |$)|--import[= ]tsx\b/.test(words),
  'run the command in this process (test/scripts/in-process.ts), or move the test to test/smoke or test/e2e',
)

afterEach(endRuns)
