import { isAfter } from '../copies.ts'
import { type CommandName, type Hours, type StoreName, stores } from '../inventory.ts'
import type { Stamp } from '../naming.ts'
import { minuteOf, spanInWords } from './age.ts'
import type { Cell, Flaws } from './cell.ts'
import { type Expected, hoursInWords } from './expected.ts'
import { type Finding, someOf } from './finding.ts'
import type { ModelFlaws } from './models-cell.ts'
import { runAgain } from './run-again.ts'

/** A cell, with what was wrong with its copies. */
export interface Assessed {
  expected: Expected
  cell: Cell
  flaws?: Flaws
  modelFlaws?: ModelFlaws
}

/** What is wrong with the cells, in words. Items of one store that are late or missing for the same reason share a finding. */
export function cellFindings(assessed: readonly Assessed[]): Finding[] {
  return [
    ...together(assessed, 'missing', missing),
    ...together(assessed, 'overdue', overdue),
    ...assessed.flatMap((one) => (one.flaws ? flawFindings(one, one.flaws) : [])),
    ...assessed.flatMap((one) => (one.modelFlaws ? modelFindings(one, one.modelFlaws) : [])),
  ]
}

function together(
  assessed: readonly Assessed[],
  state: Cell['state'],
  words: (some: Assessed[], store: StoreName, command: CommandName) => Finding,
): Finding[] {
  const groups = new Map<string, Assessed[]>()
  for (const one of assessed) {
    if (one.cell.state !== state) continue
    const key = `${one.cell.store} ${one.expected.commands[0]}`
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  return [...groups.values()].map((some) => {
    const { store, commands } = (some[0] as Assessed).expected
    return words(some, store, commands[0] as CommandName)
  })
}

function missing(some: Assessed[], store: StoreName, command: CommandName): Finding {
  const items = namesOf(some)
  const bad = some.filter(({ cell, flaws }) => cell.copies > 0 || (flaws?.noArchive.length ?? 0) > 0)
  const why = bad.length > 0 ? `; what is there of ${someOf(namesOf(bad))} is not good, see below` : ''
  const gone = some.filter(({ flaws }) => flaws?.gone)
  const removed =
    gone.length > 0
      ? `; the report of a run says that there is one${gone.length < some.length ? ` of ${someOf(namesOf(gone))}` : ''}`
      : ''
  return {
    trouble: 'missing',
    alarm: true,
    store,
    items,
    what: `${stores[store].title} has no good backup of ${someOf(items, 8)}${why}${removed}`,
    todo: (gone.length > 0 ? 'Find out who removed it. ' : '') + runAgain(command, items, store),
  }
}

function overdue(some: Assessed[], store: StoreName, command: CommandName): Finding {
  const items = namesOf(some)
  const oldest = some.reduce((a, b) => ((a.cell.freshAt as Date) < (b.cell.freshAt as Date) ? a : b)).cell
  const { freshAt, hours, asOf } = oldest as Cell & { freshAt: Date }
  const age = spanInWords(asOf.getTime() - freshAt.getTime())
  const [where, log] =
    command === 'backup-cron' ? ['Verda', '/var/log/comfyume-backup.log'] : ['Mello', '~/comfyume-backup.log']
  return {
    trouble: 'overdue',
    alarm: true,
    store,
    items,
    what:
      `${someOf(items, 8)} on ${stores[store].title}: last known good ${minuteOf(freshAt)}, ${age} ago, ` +
      `where there should be a run of ${command} ${hoursInWords(hours as Hours)}`,
    todo: `See why ${command} does not run or does not finish: on ${where}, crontab -l and tail ${log}. ${runAgain(command, items, store)}`,
  }
}

function flawFindings({ expected, cell }: Assessed, flaws: Flaws): Finding[] {
  const { item, store, commands } = expected
  const title = stores[store].title
  const base = { store, items: [item.name] }
  const again = runAgain(commands[0] as CommandName, [item.name], store)
  const away = 'move it away together with its .sha256'
  const findings: Finding[] = []
  if (flaws.gone && cell.state !== 'missing') {
    const { key, time } = flaws.gone
    findings.push({
      ...base,
      trouble: 'missing',
      alarm: true,
      what: `${key} is gone from ${title}: the run of ${minuteOf(time)} says that it is there`,
      todo: `Find out who removed it. ${again}`,
    })
  }
  const broken = [
    ...flaws.broken.map((copy) => ({
      copy,
      why: `has ${copy.bytes} bytes, its record says ${copy.record.bytes}`,
    })),
    ...flaws.unreadable.map((copy) => ({ copy, why: 'has a record that cannot be read' })),
  ]
  for (const { copy, why } of broken) {
    findings.push({
      ...base,
      trouble: 'broken',
      alarm: mayBeMended(store, cell, copy.stamp),
      what: `${copy.key} on ${title} ${why}: it is no backup`,
      todo:
        stores[store].kind === 'directory'
          ? `${capital(away)}. ${again}`
          : `It stays as it is, and counts for nothing. ${again}`,
    })
  }
  for (const copy of flaws.noArchive) {
    findings.push({
      ...base,
      trouble: 'no archive',
      alarm: mayBeMended(store, cell, copy.stamp),
      what: `${copy.key} on ${title} is gone, only its record is there`,
      todo:
        stores[store].kind === 'directory'
          ? `Find out who removed it; then move ${copy.recordKey} away. ${again}`
          : `Find out who removed it: nothing here ever does. ${again}`,
    })
  }
  for (const [copies, alarm] of [
    [flaws.noRecord, true],
    [flaws.underWay, false],
  ] as const) {
    if (copies.length === 0) continue
    const keys = copies.map(({ key }) => key)
    findings.push({
      ...base,
      trouble: 'no record',
      alarm,
      what: `${title} has ${counted(keys, 'archive')} of ${item.name} without a record, which makes no backup: ${someOf(keys, 3)}`,
      todo: alarm
        ? 'tsx scripts/verify.ts --adopt reads them whole and writes their records'
        : 'Their run is perhaps still reading them back: look again in an hour',
    })
  }
  if (flaws.future.length > 0) {
    const keys = flaws.future.map(({ key }) => key)
    findings.push({
      ...base,
      trouble: 'future',
      alarm: true,
      what: `${someOf(keys, 3)} on ${title} ${keys.length === 1 ? 'is' : 'are'} dated in the future: a clock was wrong, and they count for nothing`,
      todo: `Set the clocks of Verda and Mello (timedatectl set-ntp true)${stores[store].kind === 'directory' ? `, then ${away}` : '; they stay, and count when their time has come'}`,
    })
  }
  for (const { key, time } of flaws.strange) {
    findings.push({
      ...base,
      trouble: 'clock',
      alarm: mayBeMended(store, cell),
      what: `the record of ${key} on ${title} is from ${minuteOf(time)}, which is not the time in its name`,
      todo: 'A clock was wrong, or somebody renamed it: rotation passes it over. See that timedatectl says "System clock synchronized: yes" on Verda and Mello',
    })
  }
  return findings
}

/** In a folder a person can put it right; in a bucket nothing can be removed, and it is told of as long as nothing newer is good. */
function mayBeMended(store: StoreName, { newest }: Cell, stamp?: Stamp): boolean {
  if (stores[store].kind === 'directory') return true
  return newest === undefined || (stamp !== undefined && isAfter(stamp, newest.time))
}

function modelFindings({ expected, cell }: Assessed, flaws: ModelFlaws): Finding[] {
  const { store, item } = expected
  const title = stores[store].title
  const base = { store, items: [item.name], alarm: true }
  const findings: Finding[] = []
  if (flaws.lacking.length > 0 && cell.state !== 'missing') {
    findings.push({
      ...base,
      trouble: 'missing',
      what: `${title} lacks ${flaws.lacking.length} of the models: ${someOf(flaws.lacking)}`,
      todo: runAgain('backup-verda', [item.name], store),
    })
  }
  for (const { key, why } of flaws.broken) {
    findings.push({
      ...base,
      trouble: 'broken',
      what: `${key} on ${title}: ${why}`,
      todo: 'Nothing is overwritten there: give the sound model a name of its own, then back it up under that',
    })
  }
  if (flaws.noArchive.length > 0) {
    findings.push({
      ...base,
      trouble: 'no archive',
      what: `${someOf(flaws.noArchive)} on ${title}: gone, only the record is there`,
      todo: `Find out who removed it: nothing here ever does. ${runAgain('backup-verda', [item.name], store)}`,
    })
  }
  if (flaws.noRecord.length > 0) {
    findings.push({
      ...base,
      // They are told apart by their size, and a restore can compare no more than that.
      alarm: false,
      trouble: 'no record',
      what: `${title} has ${counted(flaws.noRecord, 'model')} without a record: ${someOf(flaws.noRecord, 3)}`,
      todo: 'Unless a run is under way, a restore of them can compare their size alone. One that is stored anew, under a name of its own, has a record',
    })
  }
  return findings
}

function namesOf(some: readonly Assessed[]): string[] {
  return some.map(({ cell }) => cell.item)
}

function counted(names: readonly string[], what: string): string {
  return `${names.length} ${what}${names.length === 1 ? '' : 's'}`
}

function capital(text: string): string {
  return text[0]?.toUpperCase() + text.slice(1)
}
