import { stores } from '../../../inventory.ts'
import type { Assessment } from '../../judge/assess.ts'
import type { Cell } from '../../judge/cell.ts'
import { lastDays, recentDays } from '../../judge/days.ts'
import { expectedOf } from '../../judge/expected.ts'
import { type Html, html } from './html.ts'

/** For each item and store, the days with a new archive, a run without changes, or a failure. */
export function calendarSection(state: Assessment): Html {
  const days = lastDays(state.at)
  const names = [...new Set(state.cells.map(({ store }) => store))].filter((store) => store !== 'git')
  return html`<section id="calendar" aria-labelledby="calendar-title">
<h2 id="calendar-title">Calendar of the last ${recentDays} days</h2>
<ul class="key marks">
<li>${sample('made')}an archive was made</li><li>${sample('many')}several</li>
<li>${sample('run')}its command ran, no new archive</li><li>${sample('idle')}nothing</li>
<li>${sample('failed')}failed</li><li>${sample('missed')}no run, though one was due</li></ul>
<div class="columns">${names.map((store) => calendarOf(state, store as Cell['store'], days))}</div>
</section>`
}

function calendarOf(state: Assessment, store: Cell['store'], days: readonly string[]): Html {
  const title = stores[store as keyof typeof stores].title
  const rows = state.cells
    .filter((cell) => cell.store === store)
    .map((cell) => ({ cell, marks: marksOf(cell, state, days) }))
  return html`<div><h3>${title}</h3>
<table class="calendar"><thead><tr><th scope="col">Item</th><th scope="col"><div class="ends"><span>${days[0]}</span><span>${days.at(-1)}</span></div></th></tr></thead>
<tbody>${rows.map(({ cell, marks }) => html`<tr><th scope="row">${cell.item}</th><td>${strip(cell, marks, days)}</td></tr>`)}</tbody></table>
<details><summary>${title} in words</summary><ul>${rows.map(
    ({ cell, marks }) => html`<li>${cell.item}: ${inWords(marks, days)}</li>`,
  )}</ul></details></div>`
}

/** The shape of each kind of day, as top and height out of 16: kinds differ even without colours. */
const shapes = {
  many: [[0, 16]],
  made: [[5, 11]],
  run: [[11, 5]],
  idle: [[14, 2]],
  failed: [
    [0, 7],
    [10, 6],
  ],
  missed: [[0, 6]],
} as const

/** The result of each day. */
type Mark = { kind: keyof typeof shapes; archives: number }

function marksOf(cell: Cell, { environment, runDays, badDays }: Assessment, days: readonly string[]): Mark[] {
  const made = new Map(cell.history.map(({ day, archives }) => [day, archives]))
  const commands = expectedOf(environment, [cell.store as keyof typeof stores]).find(
    ({ item }) => item.name === cell.item,
  )?.commands
  const ran = new Set(
    runDays
      .filter((run) => run.store === cell.store && commands?.some((command) => command === run.command))
      .flatMap((run) => run.days),
  )
  const bad = badDays.find(({ item, store }) => item === cell.item && store === cell.store)
  return days.map((day) => {
    const archives = made.get(day) ?? 0
    if (bad?.failed.includes(day)) return { kind: 'failed', archives }
    if (archives > 0) return { kind: archives > 1 ? 'many' : 'made', archives }
    if (bad?.missed.includes(day)) return { kind: 'missed', archives }
    return { kind: ran.has(day) ? 'run' : 'idle', archives }
  })
}

const words = {
  run: 'no new archive',
  idle: 'nothing',
  failed: 'failed',
  missed: 'no run, though one was due',
}

function strip({ item }: Cell, marks: readonly Mark[], days: readonly string[]): Html {
  const cells = marks.map(({ kind, archives }, index) => {
    const said = [
      ...(kind === 'many' || kind === 'made' ? [] : [words[kind]]),
      ...(archives > 0 ? [`${archives} made`] : []),
    ]
    return html`<path class="${kind}" d="${bar(kind, index * 10)}"><title>${days[index]}: ${said.join(', ')}</title></path>`
  })
  return html`<svg viewBox="0 0 ${recentDays * 10 - 2} 16" preserveAspectRatio="none" role="img" aria-label="${item}: ${inWords(marks, days)}">${cells}</svg>`
}

function inWords(marks: readonly Mark[], days: readonly string[]): string {
  const on = (is: (mark: Mark) => boolean) => days.filter((_, index) => is(marks[index] as Mark))
  const told = (what: string, those: readonly string[]) =>
    those.length === 0
      ? []
      : [`${what} ${those.length === 1 ? those[0] : `${those.length} days, the last ${those.at(-1)}`}`]
  const made = on(({ archives }) => archives > 0)
  const ran = on(({ kind }) => kind === 'run').length
  return [
    ...told(
      'failed on',
      on(({ kind }) => kind === 'failed'),
    ),
    ...told(
      'no run on',
      on(({ kind }) => kind === 'missed'),
    ),
    ...(made.length > 0 ? told('archives on', made) : ['no archive']),
    ...(ran > 0 ? [`runs without a new one on ${ran} days`] : []),
  ].join('; ')
}

function sample(kind: keyof typeof shapes): Html {
  return html`<svg viewBox="0 0 8 16" aria-hidden="true"><path class="${kind}" d="${bar(kind, 0)}"></path></svg>`
}

function bar(kind: keyof typeof shapes, x: number): string {
  return shapes[kind].map(([top, height]) => `M${x} ${top}h8v${height}h-8z`).join('')
}
