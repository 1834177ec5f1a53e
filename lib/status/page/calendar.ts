import { stores } from '../../inventory.ts'
import type { Assessment } from '../assess.ts'
import type { Cell } from '../cell.ts'
import { expectedOf } from '../expected.ts'
import { type Html, html } from './html.ts'

const shownDays = 42
const dayMs = 24 * 3_600_000

/** For each item and store, the days on which an archive was made, and those on which a run found nothing new. */
export function calendarSection(state: Assessment): Html {
  const days = lastDays(state.at)
  const names = [...new Set(state.cells.map(({ store }) => store))].filter((store) => store !== 'git')
  return html`<section id="calendar" aria-labelledby="calendar-title">
<h2 id="calendar-title">Calendar of the last ${shownDays} days</h2>
<ul class="key marks">
<li>${sample('made')}an archive was made</li><li>${sample('many')}several</li>
<li>${sample('run')}its command ran, no new archive</li><li>${sample('idle')}nothing</li></ul>
<div class="columns">${names.map((store) => calendarOf(state, store as Cell['store'], days))}</div>
</section>`
}

/** The days, oldest first, as `YYYY-MM-DD`. */
function lastDays(now: Date): string[] {
  return Array.from({ length: shownDays }, (_, index) =>
    dayOf(new Date(now.getTime() - (shownDays - 1 - index) * dayMs)),
  )
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

/** Of 16: the kinds differ without their colours too. */
const heights = { many: 16, made: 11, run: 5, idle: 2 }

/** What became of each day: how many archives, or that a run was there. */
type Mark = { archives: number; ran: boolean }

function marksOf(cell: Cell, state: Assessment, days: readonly string[]): Mark[] {
  const made = new Map(cell.history.map(({ day, archives }) => [day, archives]))
  const commands = expectedOf(state.environment, [cell.store as keyof typeof stores]).find(
    ({ item }) => item.name === cell.item,
  )?.commands
  const ran = new Set(
    state.runDays
      .filter((run) => run.store === cell.store && commands?.some((command) => command === run.command))
      .flatMap((run) => run.days),
  )
  return days.map((day) => ({ archives: made.get(day) ?? 0, ran: ran.has(day) }))
}

function strip({ item }: Cell, marks: readonly Mark[], days: readonly string[]): Html {
  const cells = marks.map(({ archives, ran }, index) => {
    const kind = archives > 1 ? 'many' : archives === 1 ? 'made' : ran ? 'run' : 'idle'
    const what = archives > 0 ? `${archives} made` : ran ? 'no new archive' : 'nothing'
    const tall = heights[kind]
    return html`<rect class="${kind}" x="${index * 10}" y="${16 - tall}" width="8" height="${tall}"><title>${days[index]}: ${what}</title></rect>`
  })
  return html`<svg viewBox="0 0 ${shownDays * 10 - 2} 16" preserveAspectRatio="none" role="img" aria-label="${item}: ${inWords(marks, days)}">${cells}</svg>`
}

function inWords(marks: readonly Mark[], days: readonly string[]): string {
  const made = days.filter((_, index) => (marks[index]?.archives ?? 0) > 0)
  const ran = marks.filter((mark) => mark.archives === 0 && mark.ran).length
  const words = made.length === 0 ? 'no archive' : `archives on ${made.length} days, the last ${made.at(-1)}`
  return `${words}${ran > 0 ? `; runs without a new one on ${ran} days` : ''}`
}

function sample(kind: keyof typeof heights): Html {
  return html`<svg viewBox="0 0 8 16" aria-hidden="true"><rect class="${kind}" y="${16 - heights[kind]}" width="8" height="${heights[kind]}"></rect></svg>`
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 10)
}
