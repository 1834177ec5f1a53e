import { type StoreName, stores } from '../../inventory.ts'
import { stampTime } from '../../naming.ts'
import { bytesInWords, groupBy, minuteOf, someOf, spanInWords } from '../../text.ts'
import type { SeenModels, SeenShelf } from '../look/seen.ts'
import { clockToleranceMs } from './cell.ts'
import type { Contents } from './contents.ts'
import { any, counted, read, row, type StatusFinding } from './finding.ts'

/** Every requested store that could not be seen; with several buckets, the first problem and a count. */
export function unreachableFindings(shelves: readonly SeenShelf[]): StatusFinding[] {
  const away = shelves.filter(({ problem, state }) => problem !== undefined && state !== 'left out')
  return [...groupBy(away, ({ store }) => store)].map(([store, own]) => {
    const [{ state, at, problem = '', answers }] = own
    const since = state === 'remembered' ? `, showing its state as of ${minuteOf(at)}` : ''
    const more = own.length > 1 ? ` (and ${own.length - 1} more of its buckets)` : ''
    return {
      trouble: 'unreachable',
      status: 'wrong',
      store,
      items: [],
      what: `${stores[store].title} is unreachable${since}: ${problem.split('\n')[0]}${more}`,
      todo: adviceFor(store, answers === true),
    }
  })
}

function adviceFor(store: StoreName, answers: boolean): string {
  if (stores[store].kind === 'object')
    return 'Its content is unknown. Fix this, or leave it out on purpose: --stores'
  if (store === 'mello') return 'Look from Mello, or leave it out on purpose: --stores'
  return answers
    ? 'Fix this on Verda, then run there: comfyume-backup backup-cron'
    : 'Fix this. If Verda is off on purpose, say so once: comfyume-backup status --verda-off'
}

/** A restore takes the live models first. */
export function liveModelFindings(models: SeenModels | undefined): StatusFinding[] {
  if (models?.problem === undefined) return []
  return [
    {
      trouble: 'unreachable',
      status: 'wrong',
      store: 'sfs',
      items: ['models'],
      what: `the models on ${models.where} are unreachable: ${models.problem}`,
      todo: 'Check that the share is mounted on Verda and that MODELS_DIR is right',
    },
  ]
}

/** Files on a shelf that are no backups, and a wrong clock on its machine. */
export function shelfFindings(contents: Contents, drill: boolean): StatusFinding[] {
  const { shelf, unexpected, archives } = contents
  return [
    ...read(ofShelf, { ...shelf, items: [], unexpected }),
    ...(drill
      ? []
      : archives.flatMap((one) => tooEarly({ ...shelf, ...one, items: [one.expected.item.name] }))),
  ]
}

type OfShelf = SeenShelf & { items: string[]; unexpected: Contents['unexpected'] }

const ofShelf = [
  row({
    trouble: 'unfinished',
    when: ({ unfinished = [] }: OfShelf) => any(unfinished),
    alarm: false,
    what: (uploads, { title }) => {
      const all = bytesInWords(uploads.reduce((sum, { bytes }) => sum + bytes, 0))
      const each = uploads.map(
        ({ key, bytes, begun }) => `${key} (${bytesInWords(bytes)} of ${minuteOf(begun)})`,
      )
      return `${title} holds ${counted(uploads, 'unfinished upload')}, ${all}: ${someOf(each, 3)}`
    },
    todo: 'They take up space and are ignored. The next run of the same file continues its own; R2 drops them after 7 days',
  }),
  row({
    trouble: 'unexpected',
    when: ({ unexpected }: OfShelf) => any(unexpected.map(({ key }) => key)),
    alarm: false,
    what: (keys, { title }) => `${title}: ${counted(keys, 'file')} that no backup made: ${someOf(keys)}`,
    todo: 'They are never touched, and are ignored. Move away what is there by mistake',
  }),
  row({
    trouble: 'clock',
    when: ({ clockAheadSeconds: ahead = 0 }: OfShelf) =>
      Math.abs(ahead) * 1000 > clockToleranceMs ? [ahead] : [],
    what: (ahead, { title }) =>
      `the clock of the machine that holds ${title} is ${spanInWords(Math.abs(ahead) * 1000)} ${ahead > 0 ? 'ahead of' : 'behind'} this one's; ${spanInWords(clockToleranceMs)} are tolerated`,
    todo: 'Find out which of the two is wrong, and set it: timedatectl set-ntp true',
  }),
]

/** Object stores use their own clock; in a folder any program may have set a file's time. */
const tooEarly = row({
  trouble: 'clock',
  when: ({ store, at, copies }: SeenShelf & Contents['archives'][number] & { items: string[] }) => {
    if (stores[store].kind !== 'object') return []
    const early = copies.filter(({ stamp, modified }) => {
      const made = stampTime(stamp)
      return modified && made.getTime() - modified.getTime() > clockToleranceMs && made <= at
    })
    return any(early.map(({ key }) => key))
  },
  alarm: false,
  what: (keys, { title }) =>
    `${title} took ${someOf(keys, 3)} before the time in the name: the clock of the machine that wrote was ahead`,
  todo: 'Check that timedatectl says "System clock synchronized: yes" on Verda and Mello',
})
