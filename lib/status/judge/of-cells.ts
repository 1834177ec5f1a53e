import { nameAlone } from '../../backup/select.ts'
import { type Copy, isAfter } from '../../copies.ts'
import { type CommandName, type Hours, stores } from '../../inventory.ts'
import type { Stamp } from '../../naming.ts'
import { groupBy, minuteOf, someOf, spanInWords, unequalSizes } from '../../text.ts'
import type { Flaws } from './archives-cell.ts'
import { type Cell, foundInWords } from './cell.ts'
import { type Expected, graceHours, hoursInWords } from './expected.ts'
import { any, counted, read, row, runAgain, type StatusFinding } from './finding.ts'
import type { ModelFlaws } from './models-cell.ts'

/** A cell, with the flaws of its copies. */
export interface Assessed {
  expected: Expected
  cell: Cell
  flaws?: Flaws
  modelFlaws?: ModelFlaws
}

/** Findings about cells. Items of one store that are late or missing for one reason share a finding. */
export function cellFindings(assessed: readonly Assessed[]): StatusFinding[] {
  const groups = (state: Cell['state']) => {
    const own = assessed.filter(({ cell }) => cell.state === state)
    const alike = groupBy(own, ({ cell, expected }) => `${cell.store} ${expected.commands[0]}`)
    return [...alike.values()].map(together)
  }
  return [
    ...groups('missing').flatMap(missing),
    ...groups('overdue').flatMap(overdue),
    ...assessed.flatMap((one) => (one.flaws ? read(ofCopies, { ...together([one]), ...one.flaws }) : [])),
    ...assessed.flatMap((one) =>
      one.modelFlaws ? read(ofModels, { ...together([one]), ...one.modelFlaws }) : [],
    ),
  ]
}

/** The cells of one store and command, and the first of them. */
function together(some: readonly [Assessed, ...Assessed[]]) {
  const [{ expected, cell }] = some
  const { store } = expected
  const command = expected.commands[0] as CommandName
  const items = namesOf(some)
  const { title, kind } = stores[store]
  const again = runAgain(command, items, store)
  return { some, cell, store, items, command, title, isFolder: kind === 'directory', again }
}
type Together = ReturnType<typeof together>

function namesOf(some: readonly Assessed[]): string[] {
  return some.map(({ cell }) => cell.item)
}

const missing = row({
  trouble: 'missing',
  when: ({ some }: Together) => {
    const bad = some.filter(
      ({ cell, flaws }) =>
        cell.copies > 0 || flaws?.noArchive.length || flaws?.rotten.length || flaws?.cutOff.length,
    )
    return [{ bad: namesOf(bad), gone: namesOf(some.filter(({ flaws }) => flaws?.gone)) }]
  },
  what: ({ bad, gone }, { items, title }) => {
    const why = bad.length > 0 ? `; what is there of ${someOf(bad)} is not good, see below` : ''
    const which = gone.length < items.length ? ` of ${someOf(gone)}` : ''
    const removed = gone.length > 0 ? `; the report of a run says that there is one${which}` : ''
    return `${title} has no good backup of ${someOf(items, 8)}${why}${removed}`
  },
  todo: ({ gone }, { again }) => (gone.length > 0 ? `Find out who removed it. ${again}` : again),
})

const overdue = row({
  trouble: 'overdue',
  when: ({ some }: Together) => [
    some
      .map(({ cell }) => cell as Cell & { freshAt: Date })
      .reduce((a, b) => (a.freshAt < b.freshAt ? a : b)),
  ],
  what: ({ freshAt, hours, asOf }, { items, title, command }) =>
    `${someOf(items, 8)} on ${title}: last known good ${minuteOf(freshAt)}, ${spanInWords(asOf.getTime() - freshAt.getTime())} ago, ` +
    `where there should be a run of ${command} ${hoursInWords(hours as Hours)}; overdue after ${graceHours(hours as Hours)} h`,
  todo: (_, { command, again }) => {
    const [where, log] =
      command === 'backup-cron'
        ? ['Verda', '/var/log/comfyume-backup.log']
        : ['Mello', '~/comfyume-backup.log']
    return `Find out why ${command} does not run or does not finish: on ${where}, crontab -l and tail ${log}. ${again}`
  },
})

type OfCopies = Together & Flaws

const checkClocks = 'Check that timedatectl says "System clock synchronized: yes" on Verda and Mello'

/** Findings about single copies. */
const ofCopies = [
  row({
    trouble: 'missing',
    when: ({ gone, cell }: OfCopies) => (gone && cell.state !== 'missing' ? [gone] : []),
    what: ({ key, time }, { title }) =>
      `${key} is gone from ${title}, though the run of ${minuteOf(time)} reports it there`,
    todo: (_, { again }) => `Find out who removed it. ${again}`,
  }),
  row({
    trouble: 'broken',
    when: ({ broken, rotten, unreadable }: OfCopies): { copy: Copy; why: string }[] => [
      ...broken.map((copy) => {
        const [bytes, recorded] = unequalSizes(copy.bytes ?? 0, copy.record.bytes ?? 0)
        return { copy, why: `has ${bytes}, its record says ${recorded}` }
      }),
      ...rotten.map(({ copy, found }) => ({ copy, why: `is broken: ${foundInWords(found)}` })),
      ...unreadable.map((copy) => ({ copy, why: 'has a record that cannot be read' })),
    ],
    alarm: ({ copy: { stamp } }, on) => mayBeMended(on, stamp),
    what: ({ copy: { key }, why }, { title }) => `${key} on ${title} ${why}: it is not a backup`,
    todo: (_, { isFolder, again }) =>
      `${isFolder ? 'Move it away together with its .sha256' : 'It stays as it is, and is ignored'}. ${again}`,
  }),
  row({
    trouble: 'broken',
    when: ({ cutOff }: OfCopies) => cutOff,
    alarm: ({ copy: { stamp } }, on) => mayBeMended(on, stamp),
    what: ({ copy: { key }, lost }, { title }) =>
      `${key} on ${title} builds on ${lost}, which is gone, cut short or broken: restore takes that from another store, or an earlier hour`,
    todo: (_, { again }) => `It stays as it is. ${again}`,
  }),
  row({
    trouble: 'no archive',
    when: ({ noArchive }: OfCopies) => noArchive,
    alarm: ({ stamp }, on) => mayBeMended(on, stamp),
    what: ({ key }, { title }) => `${key} on ${title} is gone, only its record is there`,
    todo: ({ recordKey }, { isFolder, again }) =>
      `Find out who removed it${isFolder ? `; then move ${recordKey} away` : ': this toolkit never does'}. ${again}`,
  }),
  row({
    trouble: 'no record',
    when: ({ noRecord }: OfCopies) => any(noRecord),
    what: unrecorded,
    todo: (_, { store, items }) =>
      `On ${store === 'sfs' ? 'Verda' : 'Mello'} run: comfyume-backup verify --adopt --store ${store} --only ${nameAlone(items[0] as string)}. ` +
      'It reads them whole, and writes the records of those that are backups',
  }),
  row({
    trouble: 'no record',
    when: ({ refused }: OfCopies) => refused,
    alarm: ({ copy: { stamp } }, on) => mayBeMended(on, stamp),
    what: ({ copy: { key }, why }, { title }) =>
      `${key} on ${title} has no record, and verify --adopt writes none: ${why}`,
    todo: (_, { isFolder, again }) =>
      `${isFolder ? 'Look into it, then move it away' : 'It stays as it is'}: a restore takes it only where nothing else is good. ${again}`,
  }),
  row({
    trouble: 'no record',
    when: ({ underWay }: OfCopies) => any(underWay),
    alarm: false,
    what: unrecorded,
    todo: 'Their run may still be reading them back: look again in an hour',
  }),
  row({
    trouble: 'future',
    when: ({ future }: OfCopies) => any(future),
    what: (copies, { title }) =>
      `${someOf(keysOf(copies), 3)} on ${title} ${copies.length === 1 ? 'is' : 'are'} dated in the future: a clock was wrong, and they are ignored`,
    todo: (_, { isFolder }) =>
      `Set the clocks of Verda and Mello (timedatectl set-ntp true)${isFolder ? ', then move it away together with its .sha256' : '; they stay, and are ignored until their time has come'}`,
  }),
  row({
    trouble: 'clock',
    when: ({ strange }: OfCopies) => strange,
    alarm: (_, on) => mayBeMended(on),
    what: ({ key, time }, { title }) =>
      `the record of ${key} on ${title} is from ${minuteOf(time)}, which is not the time in its name`,
    todo: `A clock was wrong, or someone renamed it: rotation skips it. ${checkClocks}`,
  }),
  row({
    trouble: 'clock',
    when: ({ early }: OfCopies) => any(early),
    alarm: false,
    what: (copies, { title }) =>
      `${title} took ${someOf(keysOf(copies), 3)} before the time that ${copies.length === 1 ? 'it claims' : 'they claim'}: the writer's clock was ahead, so the earlier time counts`,
    todo: checkClocks,
  }),
]

function unrecorded(copies: readonly Copy[], { title, items }: Together): string {
  return `${title} has ${counted(copies, 'archive')} of ${items[0]} without a record, so ${copies.length === 1 ? 'it is not a backup' : 'they are not backups'}: ${someOf(keysOf(copies), 3)}`
}

function keysOf(copies: readonly Copy[]): string[] {
  return copies.map(({ key }) => key)
}

/** In a folder it can be fixed; in a bucket nothing can be removed, so a newer good copy ends the report. */
function mayBeMended({ isFolder, cell: { newest } }: Together, stamp?: Stamp): boolean {
  if (isFolder) return true
  return newest === undefined || (stamp !== undefined && isAfter(stamp, newest.time))
}

type OfModels = Together & ModelFlaws

const ofModels = [
  row({
    trouble: 'missing',
    when: ({ lacking, cell }: OfModels) => (cell.state === 'missing' ? [] : any(lacking)),
    what: (lacking, { title }) => `${title} lacks ${lacking.length} of the models: ${someOf(lacking)}`,
    todo: (_, { again }) => again,
  }),
  row({
    trouble: 'broken',
    when: ({ broken }: OfModels) => broken,
    alarm: ({ replaced }) => replaced !== true,
    what: ({ key, why }, { title }) => `${key} on ${title}: ${why}`,
    todo: ({ replaced }, { again }) => `It stays as it is, and is ignored${replaced ? '' : `. ${again}`}`,
  }),
  row({
    trouble: 'no archive',
    when: ({ noArchive }: OfModels) => any(noArchive),
    what: (keys, { title }) => `${someOf(keys)} on ${title}: gone, only the record is there`,
    todo: (_, { again }) => `Find out who removed it: this toolkit never does. ${again}`,
  }),
  row({
    trouble: 'no record',
    when: ({ noRecord }: OfModels) => any(noRecord),
    // A restore can compare them only by size.
    alarm: false,
    what: (keys, { title }) => `${title} has ${counted(keys, 'model')} without a record: ${someOf(keys, 3)}`,
    todo: 'Unless a run is storing them right now, a restore can only compare their size. A model that is stored again, under a name of its own, has a record',
  }),
]
