import { minuteOf } from '../age.ts'
import type { Assessment } from '../assess.ts'
import type { Finding } from '../finding.ts'
import { verdict } from '../text.ts'
import { calendarSection } from './calendar.ts'
import { growthSection } from './chart.ts'
import { coverageSection } from './coverage.ts'
import { type Html, html } from './html.ts'
import { recoverySection, roomSection, runsSection } from './sections.ts'
import { style } from './style.ts'

/** The whole look as one page that needs nothing else: no network, no script. */
export function statusPage(state: Assessment): string {
  const alarms = state.findings.filter(({ alarm }) => alarm)
  const known = state.findings.filter(({ alarm }) => !alarm)
  const whole = state.shelves.every(({ state: seen }) => seen === 'seen')
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
<a class="skip" href="#findings">To what needs a person</a>
<header>
<h1>Backups of ${state.environment}</h1>
<p class="verdict ${alarms.length > 0 ? 'bad' : whole ? 'good' : 'look'}">${sentence(verdict(state))}</p>
<p class="soft">Looked at <time datetime="${state.at.toISOString()}">${minuteOf(state.at)} UTC</time>. All times are UTC.</p>
<nav aria-label="Parts of this page"><ul>
<li><a href="#findings">What to do</a></li><li><a href="#checklist">Checklist</a></li><li><a href="#coverage">Coverage</a></li>
<li><a href="#calendar">Calendar</a></li>${growth && html`<li><a href="#growth">Growth</a></li>`}
<li><a href="#runs">Runs</a></li><li><a href="#recovery">Disaster recovery</a></li><li><a href="#room">Room</a></li></ul></nav>
</header>
<main>
<section id="findings" aria-labelledby="findings-title">
<h2 id="findings-title">What needs a person</h2>
${alarms.length === 0 ? html`<p>Nothing.</p>` : alarms.map(finding)}
${part('To be known', [...known.map(finding), ...state.notes.map((note) => html`<p>${note}</p>`)])}
${part('Silent while Verda is off', state.quiet.map(finding))}
</section>
${checklist(state)}
${coverageSection(state)}
${calendarSection(state)}
${growth}
${runsSection(state)}
${recoverySection(state)}
${roomSection(state)}
</main>
<footer><p class="soft">Made by <code>status --html</code>. It shows one moment and does not renew itself: what is true now, the command says.</p></footer>
</body>
</html>
`.toString()
}

function part(title: string, pieces: readonly Html[]): Html | undefined {
  return pieces.length === 0 ? undefined : html`<h3>${title}</h3>${pieces}`
}

function finding({ trouble, alarm, what, todo }: Finding): Html {
  const kind = alarm ? 'bad' : 'look'
  return html`<div class="finding ${kind}"><span class="badge ${kind}">${trouble}</span>
<p><strong>${what}</strong></p><p>${withCode(todo)}</p></div>
`
}

/** Commands are set apart, so that they are copied whole. */
function withCode(text: string): Html[] {
  return text
    .split(/(tsx scripts\/[a-z-]+\.ts(?: --[a-z-]+(?: [\w,.]+(?:-[\w,.]+)*)?)*)/)
    .map((part, index) => (index % 2 === 1 ? html`<code>${part}</code>` : html`${part}`))
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
