import { rename, stat, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { isWrong } from '../../../cli/finding.ts'
import { minuteOf } from '../../../text.ts'
import type { Assessment } from '../../judge/assess.ts'
import type { StatusFinding } from '../../judge/finding.ts'
import { isWhole, verdict } from '../text.ts'
import { calendarSection } from './calendar.ts'
import { growthSection } from './chart.ts'
import { commandHtml, type Html, html } from './html.ts'
import { coverageSection, recoverySection, roomSection, runsSection } from './sections.ts'
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
