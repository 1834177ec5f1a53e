import { type StoreName, stores } from '../../../inventory.ts'
import { ageInWords, bytesInWords, minuteOf } from '../../../text.ts'
import type { Assessment } from '../../judge/assess.ts'
import type { Cell } from '../../judge/cell.ts'
import { copiesInWords, scheduleInWords, stateWords, verifiedInWords } from '../text.ts'
import { commandHtml, type Html, html } from './html.ts'

/** When each command last ran, and what cron starts next. */
export function runsSection({ commands, nextRuns, at }: Assessment): Html {
  return html`<section id="runs" aria-labelledby="runs-title"><h2 id="runs-title">Runs</h2>
<div class="columns"><div><h3>Last</h3>
<div class="scroll" role="region" aria-label="Last runs" tabindex="0"><table class="cards">
<thead><tr><th scope="col">Command</th><th scope="col">Last run</th><th scope="col">Last good run</th></tr></thead>
<tbody>${commands.map(
    ({ command, last, lastOk, lastSafe }) => html`<tr><th scope="row">${command}</th>
<td data-name="last run">${last ? html`<span class="badge ${last.ok ? 'good' : 'bad'}">${last.ok ? 'ok' : 'failed'}</span> <time>${minuteOf(last.time)}</time><small>${ageInWords(last.time, at)} ago</small>` : 'no report found'}</td>
<td data-name="last good run">${lastOk ? html`<time>${minuteOf(lastOk)}</time>` : 'none found'}${lastSafe && html`<small>safe to shut down ${minuteOf(lastSafe)}</small>`}</td></tr>`,
  )}</tbody></table></div></div>
<div><h3>Next, by cron</h3>
<div class="scroll" role="region" aria-label="Next runs" tabindex="0"><table class="cards">
<thead><tr><th scope="col">At</th><th scope="col">On</th><th scope="col">Command</th></tr></thead>
<tbody>${nextRuns.map(
    ({ host, command, flags, time }) =>
      html`<tr><td><time>${minuteOf(time)}</time></td><td>${host}</td><td>${commandHtml(`comfyume-backup ${command} ${flags}`.trim())}</td></tr>`,
  )}</tbody></table></div></div></div></section>`
}

/** The facts' assets and promises, compared with what was seen. */
export function recoverySection({ recovery, at }: Assessment): Html {
  const words = { yes: 'promise kept', no: 'promise not kept', unknown: 'some cannot be seen from here' }
  const kinds = { yes: 'good', no: 'bad', unknown: 'look' }
  const seen = { there: 'good', 'not there': 'bad', 'not seen': 'look' }
  return html`<section id="recovery" aria-labelledby="recovery-title"><h2 id="recovery-title">Disaster recovery</h2>
<div class="columns">${recovery.map(
    ({ asset, backup, location, time, copies }) => html`<div><h3>${asset}</h3>
<p>${backup}<br><span class="soft">${location}; ${time ? `${ageInWords(time, at)} old` : 'its age cannot be seen from here'}</span></p>
${
  copies &&
  html`<p><span class="badge ${kinds[copies.held]}">${words[copies.held]}</span> ${copies.seen} of ${copies.promised} copies seen</p>
<ul>${copies.places.map(
    ({ place, state, what }) =>
      html`<li>${place}: <span class="badge ${seen[state]}">${state}</span> ${what}</li>`,
  )}</ul>`
}</div>`,
  )}</div></section>`
}

/** Free space where it is limited, and what could be moved away. */
export function roomSection({ room, movable }: Assessment): Html {
  const bytes = movable.reduce((sum, one) => sum + one.bytes, 0)
  return html`<section id="space" aria-labelledby="space-title"><h2 id="space-title">Space</h2>
${room.length === 0 && html`<p>No store with limited space could be checked.</p>`}
<div class="columns">${room.map(
    ({ title, freeBytes, totalBytes, bytesPerDay, daysUntilFull }) => html`<div><h3>${title}</h3>
<div class="bar" aria-hidden="true"><span style="width:${percent(totalBytes - freeBytes, totalBytes)}%"></span></div>
<p>${bytesInWords(freeBytes)} free of ${bytesInWords(totalBytes)}; ${lasts(daysUntilFull, bytesPerDay)}</p></div>`,
  )}</div>
${
  movable.length > 0 &&
  html`<details><summary>${movable.length} older copies on Mello (${bytesInWords(bytes)}) are also on R2, read back there and identical: they can be moved away</summary>
<ul>${movable.map((one) => html`<li><code>${one.key}</code> ${bytesInWords(one.bytes)}</li>`)}</ul></details>`
}</section>`
}

function lasts(days: number | undefined, bytesPerDay: number): string {
  if (days === undefined) return 'it does not grow'
  return days > 3650
    ? 'enough for years'
    : `full in ${days} days at ${bytesInWords(Math.round(bytesPerDay))} a day`
}

function percent(part: number, whole: number): number {
  return whole > 0 ? Math.round((100 * part) / whole) : 0
}

/** Items against stores. */
export function coverageSection({ cells, at }: Assessment): Html {
  const columns = [...new Set(cells.map(({ store }) => store))]
  const rows = [...new Map(cells.map((cell) => [cell.item, cell.title]))]
  return html`<section id="coverage" aria-labelledby="coverage-title">
<h2 id="coverage-title">Every item in every store</h2>
<p class="soft">The age is that of the last proof: an archive that was made, or a run that found nothing changed.</p>
<details class="more"><summary>Show sizes, copies and dates</summary></details>
<div class="scroll" role="region" aria-label="Table of every item in every store" tabindex="0"><table class="wide cards">
<thead><tr><th scope="col">Item</th>${columns.map((store) => html`<th scope="col">${titleOf(store)}</th>`)}</tr></thead>
<tbody>${rows.map(
    ([item, title]) =>
      html`<tr><th scope="row"><span title="${title}">${item}</span></th>${columns.map((store) =>
        cellOf(
          cells.find((cell) => cell.item === item && cell.store === store),
          at,
        ),
      )}</tr>`,
  )}</tbody></table></div></section>`
}

const looks: Record<Cell['state'], string> = {
  fresh: 'good',
  'by hand': 'good',
  overdue: 'bad',
  missing: 'bad',
  absent: 'none',
  unknown: 'look',
}

function cellOf(cell: Cell | undefined, now: Date): Html {
  if (!cell)
    return html`<td class="soft none"><span aria-hidden="true">–</span><span class="hidden">does not belong there</span></td>`
  const { state, store, freshAt, newest, asOf, bytes, copies } = cell
  const age = freshAt && state !== 'missing' ? `${ageInWords(freshAt, now)}, ` : ''
  const all = copies > 1 ? `copies: ${copiesInWords(cell)}, ${bytesInWords(bytes)}` : '1 copy'
  return html`<td data-name="${titleOf(store)}"><span class="badge ${looks[state]}">${state === 'by hand' ? 'there' : stateWords[state]}</span> ${age}${state !== 'absent' && scheduleInWords(cell)}
${asOf < now && state !== 'unknown' && html`<small>as it was ${minuteOf(asOf)}</small>`}
${newest && html`<small>made ${minuteOf(newest.time)}, ${bytesInWords(newest.bytes)}</small>`}
${newest && html`<small>${all}</small>`}
${newest && store !== 'git' && html`<small>read back: ${verifiedInWords(cell)}</small>`}</td>`
}

function titleOf(store: Cell['store']): string {
  return store === 'git' ? 'git' : stores[store as StoreName].title
}
