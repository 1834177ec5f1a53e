import { bytesInWords } from '../../cli/words.ts'
import { ageInWords, minuteOf } from '../age.ts'
import type { Assessment } from '../assess.ts'
import { type Html, html } from './html.ts'

/** When each command last ran, and what cron starts next. */
export function runsSection({ commands, nextRuns, at }: Assessment): Html {
  return html`<section id="runs" aria-labelledby="runs-title"><h2 id="runs-title">Runs</h2>
<div class="columns"><div><h3>Last</h3>
<div class="scroll" role="region" aria-label="Last runs" tabindex="0"><table>
<thead><tr><th scope="col">Command</th><th scope="col">Last run</th><th scope="col">Last without a fault</th></tr></thead>
<tbody>${commands.map(
    ({ command, last, lastOk, lastSafe }) => html`<tr><th scope="row">${command}</th>
<td>${last ? html`<span class="badge ${last.ok ? 'good' : 'bad'}">${last.ok ? 'ok' : 'failed'}</span> <time>${minuteOf(last.time)}</time><small>${ageInWords(last.time, at)} ago</small>` : 'no run was read'}</td>
<td>${lastOk ? html`<time>${minuteOf(lastOk)}</time>` : 'none that was read'}${lastSafe && html`<small>safe to shut down ${minuteOf(lastSafe)}</small>`}</td></tr>`,
  )}</tbody></table></div></div>
<div><h3>Next, by cron</h3>
<div class="scroll" role="region" aria-label="Next runs" tabindex="0"><table>
<thead><tr><th scope="col">At</th><th scope="col">On</th><th scope="col">Command</th></tr></thead>
<tbody>${nextRuns.map(
    ({ host, command, flags, time }) =>
      html`<tr><td><time>${minuteOf(time)}</time></td><td>${host}</td><td><code>${`${command} ${flags}`.trim()}</code></td></tr>`,
  )}</tbody></table></div></div></div></section>`
}

/** The facts' assets, and their promises held against what was seen. */
export function recoverySection({ recovery, at }: Assessment): Html {
  const words = { yes: 'promise kept', no: 'promise not kept', unknown: 'not all can be seen' }
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

/** Room left where it has a bound, and what could be moved away. */
export function roomSection({ room, movable }: Assessment): Html {
  const bytes = movable.reduce((sum, one) => sum + one.bytes, 0)
  return html`<section id="room" aria-labelledby="room-title"><h2 id="room-title">Room</h2>
${room.length === 0 && html`<p>No store with a bound could be looked at.</p>`}
<div class="columns">${room.map(
    ({ title, freeBytes, totalBytes, bytesPerDay, daysUntilFull }) => html`<div><h3>${title}</h3>
<div class="bar" aria-hidden="true"><span style="width:${percent(totalBytes - freeBytes, totalBytes)}%"></span></div>
<p>${bytesInWords(freeBytes)} free of ${bytesInWords(totalBytes)}; ${lasts(daysUntilFull, bytesPerDay)}</p></div>`,
  )}</div>
${
  movable.length > 0 &&
  html`<details><summary>${movable.length} older copies on Mello (${bytesInWords(bytes)}) are on R2 with the same sha256, and could be moved away</summary>
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
