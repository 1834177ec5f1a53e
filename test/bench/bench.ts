import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { main } from '../../lib/cli/main.ts'
import { messageOf, secondsInWords } from '../../lib/text.ts'
import { capture } from './compare/capture.ts'
import { chain } from './compare/chain.ts'
import { changed } from './compare/changed.ts'
import { fanOut } from './compare/fan-out.ts'
import { growth } from './compare/growth.ts'
import { models, modelsRestore } from './compare/models.ts'
import { restore } from './compare/restore.ts'
import { restoreS3 } from './compare/restore-s3.ts'
import { startUp } from './compare/start-up.ts'
import { toS3 } from './compare/to-s3.ts'
import { unchanged } from './compare/unchanged.ts'
import type { Comparison, Result } from './harness/comparison.ts'
import { layMixed } from './harness/data.ts'
import { machineLines } from './harness/machine.ts'
import { barsSvg, linesSvg } from './harness/plot.ts'
import { type Asked, benchFlags, readAsked } from './harness/request.ts'
import { openSite, type Site } from './harness/site.ts'
import { markdown } from './harness/table.ts'

const comparisons: readonly Comparison[] = [
  capture,
  toS3,
  fanOut,
  unchanged,
  changed,
  startUp,
  models,
  modelsRestore,
  restore,
  restoreS3,
  chain,
  growth,
]

const names = comparisons.map(({ name }) => name)

const manual = {
  command: 'bench',
  usage: 'npm run bench -- [flags]',
  summary: 'measures this project beside what one would otherwise take',
  description: `
Builds its data in a scratch folder, runs this project and others on it in turn, and prints tables in Markdown: seconds (the median; least and most), CPU seconds of all processes, peak memory of the tree of
processes (PSS, sampled), what was stored and what was sent. What a way does not check is said in its line. The sources are in the page cache, and what was written before is on the disk when a run begins.

Needs .ci/install-s3 for the S3 server; peers that are not installed are named and left out. Takes six times as much room as the data.`,
  flags: benchFlags(names),
  examples: {
    'everything, in about 25 minutes on two cores': 'npm run bench -- --out docs',
    'a short look': 'npm run bench -- --only capture,start-up --gb 0.3 --rounds 1',
    'the long ones': 'npm run bench -- --only growth --gb 20 --files 1000000 --rounds 1',
  },
  exits: {
    0: 'everything that is installed was measured',
    1: 'something failed; its line says so',
    2: 'wrong flags',
  },
}

await main(import.meta.url, manual, async (asked) => bench(readAsked(asked, names)))

async function bench(asked: Asked): Promise<number> {
  process.env.PATH = `${path.resolve('.ci/cache/bin')}:${process.env.PATH}`
  const folder = mkdtempSync(path.join(tmpdir(), 'bench-'))
  process.once('SIGINT', () => process.exit(130))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const begun = Date.now()
  const results = await runAll(asked, folder)
  const took = `${new Date().toISOString().slice(0, 10)}, rounds: ${asked.rounds}, ${secondsInWords((Date.now() - begun) / 1000)} in all`
  const text = [...machineLines(folder), took, ...results.map(({ text }) => text)].join('\n\n')
  process.stdout.write(`${text}\n`)
  if (asked.out !== undefined) write(asked.out, text, results)
  return results.some(({ failed }) => failed) ? 1 : 0
}

interface Ran {
  name: string
  text: string
  failed: boolean
  result?: Result
}

/** A failed comparison does not stop the others. */
async function runAll({ names, ...asked }: Asked, folder: string): Promise<Ran[]> {
  let site: Site | undefined
  const mixed = () => {
    site ??= openSite(path.join(folder, 'mixed'), (home) => layMixed(home, asked.gigabytes * 1e9))
    return site
  }
  const ran: Ran[] = []
  for (const { name, title, run } of comparisons.filter(({ name }) => names.includes(name))) {
    const say = (text: string) => process.stderr.write(`${name}: ${text}\n`)
    try {
      const result = await run({ ...asked, folder, mixed, say })
      const rows = result.tables.flatMap((table) => table.rows)
      const failures = rows.flatMap(({ failed }) => failed ?? [])
      const notes = [...result.notes, ...failures.map(indented)].map((note) => `- ${note}`).join('\n')
      const text = [`## ${name}: ${title}`, ...result.tables.map(markdown), notes].join('\n\n')
      ran.push({ name, text, failed: failures.length > 0, result })
    } catch (error) {
      say(`FAILED: ${messageOf(error)}`)
      ran.push({ name, text: `## ${name}: ${title}\n\nfailed: ${messageOf(error)}`, failed: true })
    }
  }
  return ran
}

function indented(text: string): string {
  return text.replaceAll('\n', '\n  ')
}

function write(out: string, text: string, ran: readonly Ran[]): void {
  mkdirSync(out, { recursive: true })
  const put = (name: string, content: string) => writeFileSync(path.join(out, name), content)
  const tables = ran.flatMap(({ result }) => result?.tables ?? []).filter(({ plot }) => plot !== false)
  const charts = ran.flatMap(({ result }) => result?.charts ?? [])
  put('bench.md', `${text}\n`)
  put(
    'bench.json',
    `${JSON.stringify(Object.fromEntries(ran.map(({ name, result }) => [name, result])), null, 2)}\n`,
  )
  if (tables.length > 0) put('bench.svg', barsSvg(tables))
  if (charts.length > 0) put('growth.svg', linesSvg(charts))
}
