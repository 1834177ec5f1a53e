import type { Verified } from '../../backup/verified.ts'
import { type StoreName, stores } from '../../inventory.ts'
import { bytesInWords, groupBy, minuteOf, someOf, spanInWords } from '../../text.ts'
import type { SeenModels, SeenShelf } from '../look/seen.ts'
import { clockToleranceMs } from './cell.ts'
import type { Contents } from './contents.ts'
import { any, counted, read, row, type StatusFinding } from './finding.ts'

/** Every requested store that could not be seen; with several buckets, the first problem and a count. */
export function unreachableFindings(shelves: readonly SeenShelf[]): StatusFinding[] {
  const away = shelves.filter(({ problem, state }) => problem !== undefined && state !== 'left out')
  return [...groupBy(away, ({ store }) => store)].map(([store, own]) => {
    const others = shelves.flatMap((one) =>
      one.store === store || one.state === 'left out' ? [] : one.store,
    )
    const [{ state, at, problem = '', answers }] = own
    const since = state === 'remembered' ? `, showing its state as of ${minuteOf(at)}` : ''
    const more = own.length > 1 ? ` (and ${own.length - 1} more of its buckets)` : ''
    return {
      trouble: 'unreachable',
      status: 'wrong',
      store,
      items: [],
      what: `${stores[store].title} is unreachable${since}: ${problem.split('\n')[0]}${more}`,
      todo: adviceFor(store, answers === true, [...new Set(others), 'git'].join(',')),
    }
  })
}

function adviceFor(store: StoreName, answers: boolean, others: string): string {
  if (stores[store].kind === 'object')
    return `Its content is unknown. Fix this, or look at the others only: comfyume-backup status --stores ${others}`
  if (store === 'mello')
    return `Look from Mello, or look at the others only: comfyume-backup status --stores ${others}`
  return answers
    ? 'Fix this on Verda, then run there: comfyume-backup backup-cron'
    : 'Fix this. If Verda is off on purpose, say so once: comfyume-backup status --verda-off'
}

/** A restore takes the live models first. */
export function liveModelFindings(models: SeenModels | undefined): StatusFinding[] {
  return models ? read(ofLiveModels, { ...models, store: 'sfs' as const, items: ['models'] }) : []
}

type OfLiveModels = SeenModels & { store: 'sfs'; items: string[] }

const ofLiveModels = [
  row({
    trouble: 'unreachable',
    when: ({ problem }: OfLiveModels) => (problem === undefined ? [] : [problem]),
    what: (problem, { where }) => `the models on ${where} are unreachable: ${problem}`,
    todo: 'Check that the share is mounted on Verda and that MODELS_DIR is right',
  }),
  row({
    trouble: 'missing',
    when: ({ failures = [] }: OfLiveModels) => failures,
    what: (failure, { where }) => `models on ${where}: ${failure}`,
    todo: 'Put the whole file there, or remove what is left of it',
  }),
  row({
    trouble: 'warning',
    when: ({ warnings = [] }: OfLiveModels) => warnings,
    alarm: false,
    what: (warning, { where }) => `models on ${where}: ${warning}`,
    todo: 'Wait until the download is done; the next backup-verda stores it',
  }),
]

/** Files on a shelf that are no backups, and a wrong clock on its machine. */
export function shelfFindings({ shelf, unexpected }: Contents): StatusFinding[] {
  return read(ofShelf, { ...shelf, items: [], unexpected })
}

/** What `verify` knows of a store. */
export interface LastVerify {
  store: StoreName
  title: string
  items: string[]
  read?: Verified
  /** The keys of newer reports that are unreadable. */
  unread: string[]
}

/** What cannot be read must not look good. */
export const lostFindings = row({
  trouble: 'broken',
  when: ({ unread }: LastVerify) => any(unread),
  what: (keys, { title }) =>
    `${someOf(keys, 3)} on ${title} cannot be read: what verify found broken there is unknown`,
  todo: (_, { store }) =>
    `On ${store === 'sfs' ? 'Verda' : 'Mello'} run: comfyume-backup verify --store ${store}. It reads what is unknown and writes a new report`,
})

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
