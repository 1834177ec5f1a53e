import { bytesInWords } from '../../lib/text.ts'
import type { Life } from './life.ts'

const width = 900
const height = 300
const left = 80
const colours = ['#2b6cb0', '#2f855a', '#b7791f', '#c53030', '#6b46c1']

/** Growth of R2 by bucket, and below it the size of the SFS cache. */
export function plot({ story, growth }: Life): string {
  const buckets = Object.keys(growth[0]?.sizes ?? {}).filter((name) => name !== 'sfs')
  const total = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width + left + 20} ${2 * height + 140}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#ffffff"/>`
  return `${total}
${panel(`R2, seed ${story.world.seed}`, 40, growth, buckets)}
${panel('The SFS cache', height + 110, growth, ['sfs'])}
</svg>
`
}

function panel(title: string, top: number, growth: Life['growth'], names: readonly string[]): string {
  const most = Math.max(1, ...growth.flatMap(({ sizes }) => names.map((name) => sizes[name] ?? 0)))
  const x = (day: number) => (left + (width * day) / Math.max(1, growth.length - 1)).toFixed(1)
  const y = (bytes: number) => (top + height - (height * bytes) / most).toFixed(1)
  const lines = names.map((name, index) => {
    const points = growth.map(({ sizes }, day) => `${x(day)},${y(sizes[name] ?? 0)}`).join(' ')
    const colour = colours[index % colours.length]
    return `<polyline fill="none" stroke="${colour}" stroke-width="1.5" points="${points}"/>
<text x="${left + 10}" y="${top + 18 + 18 * index}" fill="${colour}">${name}, ${bytesInWords(growth.at(-1)?.sizes[name] ?? 0)} at the end</text>`
  })
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<line x1="${left}" x2="${left + width}" y1="${y(share * most)}" y2="${y(share * most)}" stroke="#dddddd"/>
<text x="${left - 6}" y="${y(share * most)}" text-anchor="end">${bytesInWords(share * most)}</text>`,
  )
  return `<text x="${left}" y="${top - 14}" font-weight="bold">${title}</text>
${ticks.join('\n')}
${lines.join('\n')}
<text x="${left}" y="${top + height + 18}">${growth[0]?.day}</text>
<text x="${left + width}" y="${top + height + 18}" text-anchor="end">${growth.at(-1)?.day}</text>`
}
