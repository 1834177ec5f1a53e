import { rename, stat, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { isWrong } from '../../../cli/finding.ts'
import { ageInWords, bytesInWords, minuteOf } from '../../../text.ts'
import type { Assessment } from '../../judge/assess.ts'
import type { Cell } from '../../judge/cell.ts'
import type { StatusFinding } from '../../judge/finding.ts'
import {
  copiesInWords,
  isWhole,
  lastsInWords,
  scheduleInWords,
  stateWords,
  titleOf,
  verdict,
  verifiedInWords,
} from '../text.ts'
import { calendarSection } from './calendar.ts'
import { growthSection } from './chart.ts'
import { commandHtml, type Html, html } from './html.ts'
import { style } from './style.ts'

/** The whole status as one self-contained page: no network, no script. */
export function statusPage(state: Assessment): string {
  const alarms = state.findings.filter(isWrong)
  const known = state.findings.filter((finding) => !isWrong(finding))
  const whole = isWhole(state)
  const growth = growthSection(state)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${alarms.length === 0 ? 'Good' : `${alarms.length} to do`}: backups of ${state.environment}</title>
<style>${style}</style>
</head>
<body>
<a class="skip" href="#findings">To the actions needed</a>
<header>
<h1>Backups of ${state.environment}</h1>
<p class="verdict ${alarms.length > 0 ? 'bad' : whole ? 'good' : 'look'}">${sentence(verdict(state))}</p>
<p class="soft">Looked at <time datetime="${state.at.toISOString()}">${minuteOf(state.at)} UTC</time>. All times are UTC.</p>
<nav aria-label="Parts of this page"><ul>
<li><a href="#findings">What to do</a></li><li><a href="#checklist">Checklist</a></li><li><a href="#coverage">Coverage</a></li>
<li><a href="#calendar">Calendar</a></li>${growth && html`<li><a href="#growth">Growth</a></li>`}
<li><a href="#runs">Runs</a></li><li><a href="#recovery">Disaster recovery</a></li><li><a href="#space">Space</a></li></ul></nav>
</header>
<main>
<section id="findings" aria-labelledby="findings-title">
<h2 id="findings-title">Action needed</h2>
${alarms.length === 0 ? html`<p>Nothing.</p>` : alarms.map(finding)}
${part('Notes', [...known.map(finding), ...state.notes.map((note) => html`<p>${withCode(note)}</p>`)])}
${part('Muted while Verda is off', state.quiet.map(finding))}
</section>
${checklist(state)}
${coverageSection(state)}
${calendarSection(state)}
${growth}
${runsSection(state)}
${recoverySection(state)}
${roomSection(state)}
</main>
<footer><p class="soft">Made by <code>comfyume-backup status</code>. It shows one moment: run it again for the state now.</p></footer>
</body>
</html>
`.toString()
}

function part(title: string, pieces: readonly Html[]): Html | undefined {
  return pieces.length === 0 ? undefined : html`<h3>${title}</h3>${pieces}`
}

function finding({ trouble, status, what, todo }: StatusFinding): Html {
  const kind = status === 'wrong' ? 'bad' : 'look'
  return html`<div class="finding ${kind}"><span class="badge ${kind}">${trouble}</span>
<p><strong>${withCode(what)}</strong></p><p>${withCode(todo)}</p></div>
`
}

/** A command with its flags: those listed take a value, so the sentence does not end up in the command. */
const command =
  /(comfyume-backup [a-z-]+(?: --(?:only|to|store|stores|at|from|list) [\w,-]+| --[a-z-]+)*|crontab -l|tail [~/][\w/.-]+\b|timedatectl(?: set-ntp true)?)/

/** Commands are marked as code, so they are copied whole. */
function withCode(text: string): Html[] {
  return text.split(command).map((part, index) => (index % 2 === 1 ? commandHtml(part) : html`${part}`))
}

function checklist({ checks }: Assessment): Html {
  const kinds = { yes: 'good', no: 'bad', look: 'look' }
  const words = { yes: '✓ yes', no: '✗ no', look: '! look' }
  return html`<section id="checklist" aria-labelledby="checklist-title"><h2 id="checklist-title">Checklist</h2>
<ul class="checks">${checks.map(
    ({ question, answer }) =>
      html`<li><span class="badge ${kinds[answer]}">${words[answer]}</span><span>${question}</span></li>`,
  )}</ul></section>`
}

/** When each command last ran, and what cron starts next. */
function runsSection({ commands, nextRuns, at }: Assessment): Html {
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
function recoverySection({ recovery, at }: Assessment): Html {
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
function roomSection({ room, movable }: Assessment): Html {
  const bytes = movable.reduce((sum, one) => sum + one.bytes, 0)
  return html`<section id="space" aria-labelledby="space-title"><h2 id="space-title">Space</h2>
${room.length === 0 && html`<p>No store with limited space could be checked.</p>`}
<div class="columns">${room.map(
    (one) => html`<div><h3>${one.title}</h3>
<div class="bar" aria-hidden="true"><span style="width:${percent(one.totalBytes - one.freeBytes, one.totalBytes)}%"></span></div>
<p>${bytesInWords(one.freeBytes)} free of ${bytesInWords(one.totalBytes)}; ${lastsInWords(one)}</p></div>`,
  )}</div>
${
  movable.length > 0 &&
  html`<details><summary>${movable.length} older copies on Mello (${bytesInWords(bytes)}) are also on R2, read back there and identical: they can be moved away</summary>
<ul>${movable.map((one) => html`<li><code>${one.key}</code> ${bytesInWords(one.bytes)}</li>`)}</ul></details>`
}</section>`
}

function percent(part: number, whole: number): number {
  return whole > 0 ? Math.round((100 * part) / whole) : 0
}

/** Items against stores. */
function coverageSection({ cells, at }: Assessment): Html {
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

/** Capitals are for terminals. */
function sentence(text: string): string {
  return text[0] + text.slice(1).toLowerCase()
}

/** Replaces `file` atomically. Only this user may read it, unless others could read an existing file. */
export async function writePage(file: string, page: string): Promise<void> {
  const mode = await stat(file).then(
    (about) => about.mode & 0o777,
    () => 0o600,
  )
  const partial = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.partial`)
  try {
    await writeFile(partial, page, { mode, flag: 'wx' })
    await rename(partial, file)
  } catch (error) {
    await unlink(partial).catch(() => {})
    throw error
  }
}
