import { bytesInWords } from '../../lib/text.ts'
import type { Life } from './life.ts'
import type { Tally } from './tally.ts'
import { archived } from './world.ts'

/** The results of a life, as Markdown. */
export function figures({ story, growth }: Life): string {
  const { tally } = story
  return [
    `Seed ${story.world.seed}: ${new Date(story.start).toISOString().slice(0, 10)} to ${growth.at(-1)?.day}, ${growth.at(-1)?.lived} days.`,
    itemTable(tally),
    sfsTable(story, growth),
    growthTable(growth),
    list('Runs', tally.counts.get('runs')),
    list('Faults', tally.counts.get('faults')),
    list('Archives damaged on purpose', tally.counts.get('damaged archives')),
    list('Restores', tally.counts.get('restores')),
    list('Items that they brought back, against the truth', tally.counts.get('restored items')),
    list(
      'Items that a new instance got older than they were when the last one went',
      tally.counts.get('items that a new instance got older than they were'),
    ),
    list(
      'Hours from the end of the worst of those to the new instance',
      new Map(
        [...tally.maxima].flatMap(([what, hours]): [string, number][] =>
          what.startsWith('lost of ') ? [[what.slice('lost of '.length), Math.round(hours * 10) / 10]] : [],
        ),
      ),
    ),
    list('Runs by hand before a shutdown', tally.counts.get('before a shutdown')),
    list('Items that status called out, a look a day', tally.counts.get('needed alarms')),
    list('Looks at status', tally.counts.get('looks')),
    list('Removed from SFS by rotation', tally.counts.get('rotated')),
    list(
      'Moved away from Mello by a person, for its disk was full',
      tally.counts.get('moved away from Mello'),
    ),
  ].join('\n\n')
}

function itemTable(tally: Tally): string {
  const rows = archived.map(({ name, host }) => {
    const hours = count(tally, 'hours', name)
    const share = (what: string) => percent(count(tally, what, name), hours)
    const onVerda = host === 'verda'
    return [
      name,
      hours,
      onVerda ? share('restorable from SFS') : '-',
      share('restorable from any'),
      share('restorable at all'),
      ...(onVerda ? worst(tally, `loss of ${name}, SFS survives`) : ['-', '-']),
      ...worst(tally, `loss of ${name}, without SFS`),
    ]
  })
  return `${table(
    [
      'item',
      'hours',
      'its very state was restorable from SFS',
      'from any store',
      'some state was',
      'loss in hours if its machine dies: SFS survives, most',
      '99 %',
      'only Mello and R2 survive, most',
      '99 %',
    ],
    rows,
  )}\n\nLoss: the hours since the newest copy ceased to be how things are, at every hour in which the machine was on.`
}

function sfsTable({ stock, tally }: Life['story'], growth: Life['growth']): string {
  const most = Math.max(...growth.map(({ sizes }) => sizes.sfs ?? 0))
  const rows = archived
    .filter(({ host }) => host === 'verda')
    .map(({ name }) => [name, stock.most.get(`${name} sfs`) ?? 0, count(tally, 'rotated of', name)])
  return `The SFS cache held ${bytesInWords(most)} at most (at the end of a week; hard links once).\n\n${table(['item', 'names on SFS, most', 'rotated away'], rows)}`
}

function growthTable(growth: Life['growth']): string {
  const buckets = Object.keys(growth[0]?.sizes ?? {}).filter((name) => name !== 'sfs')
  const years = Array.from({ length: Math.ceil((growth.at(-1)?.lived ?? 0) / 365.25) }, (_, year) => year)
  /** The total of some buckets after this many years; 0 before the first day. */
  const bytesAfter = (count: number, names: readonly string[]): number => {
    const sizes = growth.findLast(({ lived }) => lived <= count * 365.25)?.sizes ?? {}
    return names.reduce((sum, name) => sum + (sizes[name] ?? 0), 0)
  }
  const row = (title: string, names: readonly string[]) => [
    title,
    ...years.map((year) => bytesInWords(bytesAfter(year + 1, names) - bytesAfter(year, names))),
  ]
  const head = ['bucket', ...years.map((year) => `year ${year + 1}`)]
  const rows = [...buckets.map((name) => row(name, [name])), row('all', buckets)]
  return `R2 grew by, at full size:\n\n${table(head, rows)}`
}

function list(title: string, kinds: Map<string, number> | undefined): string {
  if (kinds === undefined || kinds.size === 0) return `${title}: none.`
  const sorted = [...kinds].sort(([, a], [, b]) => b - a)
  return `${title}: ${sorted.map(([kind, times]) => `${kind} ${times}`).join('; ')}.`
}

function worst(tally: Tally, series: string): string[] {
  const values = [...(tally.series.get(series) ?? [])].sort((a, b) => a - b)
  const at = (share: number) => values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0
  return [at(1), at(0.99)].map((hours) => hours.toFixed(1))
}

function count(tally: Tally, what: string, kind: string): number {
  return tally.counts.get(what)?.get(kind) ?? 0
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)} %`
}

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
