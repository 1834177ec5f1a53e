import path from 'node:path'
import type { Chart, Comparison, Table } from '../harness/comparison.ts'
import { layMany, layMixed } from '../harness/data.ts'
import { fitLine, median } from '../harness/figures.ts'
import { tarHome } from '../harness/peers.ts'
import { type Row, race } from '../harness/race.ts'
import { openSite } from '../harness/site.ts'

const base = 'tar \\| igzip > file'
const archiveSizes = [0.1, 0.3, 1, 3, 5, 10, 20]
const treeSizes = [10_000, 30_000, 100_000, 300_000, 1_000_000]

export const growth: Comparison = {
  name: 'growth',
  title: 'how time and memory grow',
  async run({ gigabytes, files, folder, rounds, say }) {
    const overBytes = await grow(
      'GB in mixed files',
      archiveSizes.filter((size) => size <= gigabytes),
      (home, size) => layMixed(home, size * 1e9),
    )
    const overFiles = await grow(
      'thousand files of 200 bytes',
      treeSizes.filter((size) => size <= files).map((size) => size / 1000),
      (home, size) => layMany(home, size * 1000),
    )
    return {
      tables: [...overBytes.tables, ...overFiles.tables],
      charts: [...overBytes.charts, ...overFiles.charts],
      notes: [...overBytes.notes, ...overFiles.notes],
    }

    async function grow(unit: string, sizes: number[], lay: (home: string, size: number) => void) {
      const measured: { size: number; rows: Row[] }[] = []
      for (const size of sizes) {
        const site = openSite(path.join(folder, 'growth'), (home) => lay(home, size))
        const env = site.env()
        const rows = await race(
          [
            {
              name: `backup-cron, ${size}`,
              ours: true,
              against: `${base}, ${size}`,
              line: site.command('backup-cron', '--only', 'home-dev'),
              env,
              checks: 'read back, record of SHA-256',
              prepare: site.clear,
            },
            {
              name: `${base}, ${size}`,
              against: `${base}, ${size}`,
              line: `${tarHome(site.root)} | igzip >${site.out}/a.tar.gz`,
              env,
              checks: 'nothing',
              needs: ['igzip'],
              prepare: site.clear,
            },
          ],
          { rounds, folder: site.folder, say: (text) => say(`${unit}: ${text}`) },
        )
        measured.push({ size, rows })
        site.remove()
      }
      return drawn(unit, measured)
    }
  },
}

function drawn(unit: string, measured: { size: number; rows: Row[] }[]) {
  const seriesOf = (of: (run: Row['runs'][number]) => number) =>
    ['backup-cron', base].map((name, index) => ({
      name,
      ours: index === 0,
      points: measured.flatMap(({ size, rows }): [number, number][] => {
        const runs = rows[index]?.runs ?? []
        return runs.length === 0 ? [] : [[size, median(runs.map(of))]]
      }),
    }))
  const seconds = seriesOf((run) => run.seconds)
  const charts: Chart[] = [
    { title: 'Time', xUnit: unit, yUnit: 's', series: seconds },
    { title: 'Peak memory', xUnit: unit, yUnit: 'MB', series: seriesOf((run) => run.peakBytes / 1e6) },
  ]
  const notes = seconds
    .filter(({ points }) => points.length > 2)
    .map(({ name, points }) => {
      const { slope, intercept, r2 } = fitLine(points)
      return `${name}, ${unit}: a line of ${intercept.toFixed(2)} s + ${slope.toFixed(3)} s each fits with R² = ${r2.toFixed(4)}`
    })
  const table: Table = { title: unit, base, rows: measured.flatMap(({ rows }) => rows), plot: false }
  return { charts, notes, tables: [table] }
}
