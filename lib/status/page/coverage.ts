import { bytesInWords } from '../../cli/words.ts'
import { type StoreName, stores } from '../../inventory.ts'
import { ageInWords, minuteOf } from '../age.ts'
import type { Assessment } from '../assess.ts'
import type { Cell } from '../cell.ts'
import { copiesInWords, scheduleInWords, stateWords } from '../words.ts'
import { type Html, html } from './html.ts'

/** Items against stores. */
export function coverageSection({ cells, at }: Assessment): Html {
  const columns = [...new Set(cells.map(({ store }) => store))]
  const rows = [...new Map(cells.map((cell) => [cell.item, cell.title]))]
  return html`<section id="coverage" aria-labelledby="coverage-title">
<h2 id="coverage-title">Every item in every store</h2>
<p class="soft">The age is that of the last proof: an archive that was made, or a run that found nothing changed.</p>
<div class="scroll" role="region" aria-label="Table of every item in every store" tabindex="0"><table class="wide">
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
    return html`<td class="soft"><span aria-hidden="true">–</span><span class="hidden">does not belong there</span></td>`
  const { state, freshAt, newest, asOf, bytes, copies } = cell
  const age = freshAt && state !== 'missing' ? `${ageInWords(freshAt, now)}, ` : ''
  const all = copies > 1 ? `copies: ${copiesInWords(cell)}, ${bytesInWords(bytes)}` : '1 copy'
  return html`<td><span class="badge ${looks[state]}">${state === 'by hand' ? 'there' : stateWords[state]}</span> ${age}${state !== 'absent' && scheduleInWords(cell)}
${asOf < now && state !== 'unknown' && html`<small>as it was ${minuteOf(asOf)}</small>`}
${newest && html`<small>made ${minuteOf(newest.time)}, ${bytesInWords(newest.bytes)}</small>`}
${newest && html`<small>${all}</small>`}</td>`
}

function titleOf(store: Cell['store']): string {
  return store === 'git' ? 'git' : stores[store as StoreName].title
}
