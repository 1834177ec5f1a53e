import { type StoreName, stores } from '../inventory.ts'
import { stampTime } from '../naming.ts'
import { spanInWords } from './age.ts'
import { clockToleranceMs } from './cell.ts'
import type { Contents } from './contents.ts'
import { type Finding, someOf } from './finding.ts'
import type { SeenModels, SeenShelf } from './seen.ts'

/** Of every shelf that should have been looked at, why it was not. One store that cannot be reached is one finding, however many buckets it has. */
export function unreachableFindings(shelves: readonly SeenShelf[]): Finding[] {
  const told = new Map<string, Finding>()
  for (const { store, state, title, at, problem, answers } of shelves) {
    if (problem === undefined || state === 'left out') continue
    const since = state === 'remembered' ? `; shown is how it was ${at.toISOString().slice(0, 16)}Z` : ''
    const finding: Finding = {
      trouble: 'unreachable',
      alarm: true,
      store,
      items: [],
      what: `${stores[store].title} could not be looked at${since}: ${problem.split('\n')[0]}`,
      todo: adviceFor(store, answers === true),
    }
    const key = `${store} ${problem.replaceAll(title, '')}`
    if (!told.has(key)) told.set(key, finding)
  }
  return [...told.values()]
}

function adviceFor(store: StoreName, answers: boolean): string {
  if (stores[store].kind === 'object')
    return 'Nothing is known of what lies there. Mend that, or leave it out on purpose: --stores'
  if (store === 'mello') return 'Look from Mello, or leave it out on purpose: --stores'
  return answers
    ? 'Mend that on Verda, then run there: tsx scripts/backup-cron.ts'
    : 'Mend that. When Verda is off on purpose, say so once: tsx scripts/status.ts --verda-off'
}

/** The live models are what restore takes first. */
export function liveModelFindings(models: SeenModels | undefined): Finding[] {
  if (models?.problem === undefined) return []
  return [
    {
      trouble: 'unreachable',
      alarm: true,
      store: 'sfs',
      items: ['models'],
      what: `the models on ${models.where} could not be looked at: ${models.problem}`,
      todo: 'See that the share is mounted on Verda and that MODELS_DIR is right',
    },
  ]
}

/** What lies on a shelf and belongs to nothing, and whether its clock goes right. */
export function shelfFindings({ shelf, unexpected, archives }: Contents, drill: boolean): Finding[] {
  const { store, title, clockAheadSeconds = 0 } = shelf
  const findings: Finding[] = []
  if (unexpected.length > 0) {
    const keys = unexpected.map(({ key }) => key)
    findings.push({
      trouble: 'unexpected',
      alarm: false,
      store,
      items: [],
      what: `${title}: ${keys.length} file${keys.length === 1 ? '' : 's'} that no backup makes: ${someOf(keys)}`,
      todo: 'They are never touched and count for nothing. What is yours and lies there by mistake, move elsewhere',
    })
  }
  if (Math.abs(clockAheadSeconds) * 1000 > clockToleranceMs) {
    const off = `${spanInWords(Math.abs(clockAheadSeconds) * 1000)} ${clockAheadSeconds > 0 ? 'ahead of' : 'behind'}`
    findings.push({
      trouble: 'clock',
      alarm: true,
      store,
      items: [],
      what: `the clock of the machine that holds ${title} is ${off} this one's`,
      todo: 'See which of the two is wrong, and set it: timedatectl set-ntp true',
    })
  }
  // An object store dates what it takes by its own clock; in a folder anybody may have set the time of a file.
  if (stores[store].kind !== 'object' || drill) return findings
  const modified = new Map(shelf.files.map((file) => [file.key, file.modified]))
  for (const { expected, copies } of archives) {
    const early = copies.filter(({ key, stamp }) => {
      const taken = modified.get(key)
      return (
        taken !== undefined &&
        stampTime(stamp).getTime() - taken.getTime() > clockToleranceMs &&
        stampTime(stamp) <= shelf.at
      )
    })
    if (early.length === 0) continue
    findings.push({
      trouble: 'clock',
      alarm: false,
      store,
      items: [expected.item.name],
      what: `${title} took ${someOf(
        early.map(({ key }) => key),
        3,
      )} before the time in the name: the clock of the machine that wrote was ahead`,
      todo: 'See that timedatectl says "System clock synchronized: yes" on Verda and Mello',
    })
  }
  return findings
}
