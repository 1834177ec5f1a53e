import { stores } from '../../../inventory.ts'
import { bytesInWords } from '../../../text.ts'
import type { Assessment } from '../../judge/assess.ts'
import type { Growth } from '../../judge/growth.ts'
import { bytesAMonth, dollars } from '../text.ts'
import { type Html, html } from './html.ts'

const width = 1000
const height = 400
const shownDays = 180
const dayMs = 24 * 3_600_000

/** The growth of the object stores: a stacked chart of each store's buckets, and the same as a table. */
export function growthSection({ growth, price, at }: Assessment): Html | undefined {
  if (growth.length === 0) return undefined
  const names = [...new Set(growth.map(({ store }) => store))]
  return html`<section id="growth" aria-labelledby="growth-title">
<h2 id="growth-title">Growth of the object storage</h2>
${names.map((store) =>
  chartOf(
    stores[store].title,
    growth.filter((one) => one.store === store),
    at,
  ),
)}
${price && html`<p>R2 costs about <strong>${dollars(price.now)} a month</strong>, and ${dollars(price.morePerMonth)} more with every month at this rate.</p>`}
</section>`
}

function chartOf(title: string, buckets: readonly Growth[], now: Date): Html {
  const days = daysOf(buckets, now)
  const layers = buckets.map((one) => sizesOn(days, one))
  const top = ceiling(
    Math.max(1, ...days.map((_, day) => layers.reduce((sum, sizes) => sum + (sizes[day] ?? 0), 0))),
  )
  const below = days.map(() => 0)
  const areas = layers.map((sizes, index) => {
    const lower = [...below]
    for (const [day, bytes] of sizes.entries()) below[day] = (below[day] ?? 0) + bytes
    return html`<path class="area-${index + 1}" d="${area(lower, below, top)}"></path>`
  })
  const total = bytesInWords(buckets.reduce((sum, { bytes }) => sum + bytes, 0))
  return html`<h3>${title}</h3>
<div class="plot">
<div class="ticks" aria-hidden="true">${[0, 1, 2, 3, 4].map((tick) => html`<span style="bottom:${tick * 25}%">${bytesInWords((top * tick) / 4)}</span>`)}</div>
<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none" role="img" aria-label="${title}: ${total} in ${buckets.length} buckets; each of them is in the table below">
${[1, 2, 3, 4].map((tick) => html`<line class="grid" x1="0" x2="${width}" y1="${height - (height * tick) / 4}" y2="${height - (height * tick) / 4}"></line>`)}
${areas}</svg>
<div class="dates" aria-hidden="true"><span>${days[0]}</span><span>${days.at(-1)}</span></div>
</div>
<div class="scroll" role="region" aria-label="Buckets of ${title}" tabindex="0"><table class="growth">
<thead><tr><th scope="col">Bucket</th><th scope="col">Holds</th><th scope="col">Grows by</th><th scope="col">Objects</th></tr></thead>
<tbody>${buckets.map(
    (
      one,
      index,
    ) => html`<tr><th scope="row"><span class="key"><span><svg viewBox="0 0 10 10" aria-hidden="true"><rect class="area-${index + 1}" width="10" height="10" rx="2"></rect></svg>${one.title.replace(/^\S+ bucket /, '')}</span></span></th>
<td>${bytesInWords(one.bytes)}${one.since && html`<small>since ${one.since.toISOString().slice(0, 10)}</small>`}</td><td>${bytesAMonth(one.bytesPerMonth)}</td><td>${one.objects}</td></tr>`,
  )}</tbody></table></div>`
}

/** From the first day with data, at most half a year back, to today. */
function daysOf(buckets: readonly Growth[], now: Date): string[] {
  const first = buckets.flatMap(({ days }) => days[0]?.day ?? []).sort()[0]
  const end = Date.parse(now.toISOString().slice(0, 10))
  const start = Math.max(end - shownDays * dayMs, Math.min(end - dayMs, first ? Date.parse(first) : end))
  const count = Math.round((end - start) / dayMs) + 1
  return Array.from({ length: count }, (_, index) =>
    new Date(start + index * dayMs).toISOString().slice(0, 10),
  )
}

/** Its bytes at the end of each day. */
function sizesOn(days: readonly string[], { days: steps }: Growth): number[] {
  let next = 0
  let bytes = 0
  return days.map((day) => {
    for (; next < steps.length && (steps[next]?.day ?? '') <= day; next++) bytes = steps[next]?.bytes ?? bytes
    return bytes
  })
}

/** The path between two lines, in units of the view box. */
function area(lower: readonly number[], upper: readonly number[], top: number): string {
  const x = (index: number) => round((width * index) / Math.max(1, upper.length - 1))
  const y = (bytes: number) => round(height - (height * bytes) / top)
  const there = upper.map((bytes, index) => `${x(index)},${y(bytes)}`)
  const back = lower.map((bytes, index) => `${x(index)},${y(bytes)}`).reverse()
  return `M${[...there, ...back].join('L')}Z`
}

/** The next size whose quarter is a round number: 1, 2, 4 or 8 times a power of ten of its unit. */
function ceiling(bytes: number): number {
  let unit = 1
  while (bytes >= unit * 1024) unit *= 1024
  const scale = unit * 10 ** Math.floor(Math.log10(bytes / unit))
  return scale * ([1, 2, 4, 8, 10].find((factor) => factor * scale >= bytes) ?? 10)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
