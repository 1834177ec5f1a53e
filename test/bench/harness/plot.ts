import type { Chart, Table } from './comparison.ts'
import { secondsOf } from './table.ts'

/** Bars for every table's seconds, each table to its own scale, as an SVG for light and dark pages. */
export function barsSvg(tables: readonly Table[]): string {
  const parts: string[] = []
  let y = 14
  for (const { title, rows } of tables) {
    const measured = rows.flatMap((row) => {
      const seconds = secondsOf(row)
      return seconds === undefined ? [] : [{ name: row.name, ours: row.ours, seconds }]
    })
    const most = Math.max(...measured.map(({ seconds }) => seconds))
    y += 20
    parts.push(words(20, y, title, 'title'))
    y += 8
    for (const { name, ours, seconds } of measured) {
      const width = Math.max(2, (seconds / most) * 420)
      parts.push(words(222, y + 13, plain(name), ours ? 'ours end' : 'end'))
      parts.push(
        `<rect x="230" y="${y + 2}" width="${round(width)}" height="14" rx="2" class="${ours ? 'fill' : 'other'}"/>`,
      )
      parts.push(
        words(236 + round(width), y + 13, `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`, ours ? 'ours' : ''),
      )
      y += 20
    }
    y += 12
  }
  return framed(720, y + 8, parts)
}

/** Two charts per row. */
export function linesSvg(charts: readonly Chart[]): string {
  const parts = charts.map((chart, index) => {
    const [x, y] = [(index % 2) * 360, Math.floor(index / 2) * 250]
    return `<g transform="translate(${x} ${y})">\n${lines(chart)}\n</g>`
  })
  return framed(720, Math.ceil(charts.length / 2) * 250, parts)
}

/** Both axes start at zero. */
function lines({ title, xUnit, yUnit, series }: Chart): string {
  const points = series.flatMap((one) => one.points)
  const most = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis] as number))) as [
    number,
    number,
  ]
  const x = (value: number) => round(50 + (value / most[0]) * 270)
  const y = (value: number) => round(200 - (value / most[1]) * 150)
  const parts = [
    words(20, 26, `${title}, ${yUnit}`, 'title'),
    `<path d="M50 50V200H330" class="axis"/>`,
    words(44, 54, figure(most[1]), 'end small'),
    words(44, 204, '0', 'end small'),
    words(320, 216, figure(most[0]), 'end small'),
    words(50, 216, xUnit, 'small'),
  ]
  const ends = series.map((one) => y(one.points.at(-1)?.[1] ?? 0))
  for (const [index, { name, ours, points }] of series.entries()) {
    const at = points.map((point) => [x(point[0]), y(point[1])] as const)
    const end = ends[index] as number
    // Above the end of its line, unless another name is there.
    const crowded = ends.slice(0, index).some((other) => Math.abs(other - end) < 14)
    parts.push(
      `<polyline points="${at.map((point) => point.join()).join(' ')}" class="${ours ? 'line' : 'thin'}"/>`,
    )
    parts.push(
      ...at.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="2.5" class="${ours ? 'fill' : 'other'}"/>`),
    )
    parts.push(words(328, end + (crowded ? 16 : -7), plain(name), ours ? 'ours end small' : 'end small'))
  }
  return parts.join('\n')
}

/** With its own background, so it is readable on any page. */
function framed(width: number, height: number, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Measurements of this project beside others, as npm run bench made them</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600 } .small { font-size: 11px } .end { text-anchor: end }
.ground { fill: #fff; stroke: #d1d9e0 } .ours { fill: #0550ae; font-weight: 600 } .fill { fill: #0969da } .other { fill: #8c959f }
.axis { stroke: #8c959f; fill: none } .line { stroke: #0969da; stroke-width: 2; fill: none } .thin { stroke: #8c959f; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .ground { fill: #0d1117; stroke: #3d444d } .ours { fill: #79c0ff } .fill { fill: #4493f8 } .line { stroke: #4493f8 }
}
</style>
<rect x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="6" class="ground"/>
${parts.join('\n')}
</svg>
`
}

function words(x: number, y: number, text: string, tone: string): string {
  const safe = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return `<text x="${round(x)}" y="${round(y)}"${tone === '' ? '' : ` class="${tone}"`}>${safe}</text>`
}

/** Names are escaped for Markdown, where a bar ends a cell. */
const plain = (name: string) => name.replaceAll('\\|', '|')
const round = (value: number) => Math.round(value * 10) / 10
const figure = (value: number) => (value < 10 ? value.toFixed(1) : String(Math.round(value)))
