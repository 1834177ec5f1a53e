import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import {
  type Asked,
  checkNames,
  FlagError,
  flagsInWords,
  list,
  number,
  parseFlags,
  text,
} from '../../lib/cli/flags.ts'
import { kinds } from './kinds.ts'
import type { Kind, Result } from './round.ts'
import { tableOf } from './table.ts'
import type { Life } from './world-life.ts'

/** The fault campaign: `npm run faults -- --help` says what it does. */

const count = (value: string, help: string, least = 0) => number(value, help, { least, most: 999_999_999 })

const table = {
  seed: count('N', 'from which all chance comes; by default 1'),
  runs: count('N', 'how many faults; by default 100'),
  onlyRun: count('I', 'repeats the fault with this number: lives its world from the beginning up to it'),
  kind: list('a,b', 'only faults of these kinds'),
  workers: count('N', 'so many worlds at once; by default 1', 1),
  json: text('FILE', 'writes what became of each fault into a file'),
}

/** Rounds in the life of one world. */
const worldRounds = 20

const help = `faults: breaks the real commands in thousands of ways, and looks whether anything was lost or passed off for what it is not

Usage
  npm run faults -- [flags]

Flags
${flagsInWords(table)
  .map(([usage, help]) => `  ${usage.padEnd(14)}${help}`)
  .join('\n')}

Kinds
${kinds.map(({ name }) => `  ${name}`).join('\n')}

After each fault, and again after the next run without one, an oracle reads all stores by hand. Exit codes: 0 nothing was found; 1 something was; 2 wrong flags.
The same --seed, --runs, --kind give the same faults. As root it mounts small disks, in namespaces of its own; else what needs them is left out, and named.`

async function main(flags: Asked<typeof table> & { help?: boolean }): Promise<number> {
  if (flags.help) {
    process.stdout.write(`${help}\n`)
    return 0
  }
  const { seed = 1, runs = 100, workers = 1, onlyRun: only } = flags
  checkNames(
    '--kind',
    flags.kind,
    kinds.map(({ name }) => name),
    'the kinds are',
  )
  const chosen = kinds.filter(({ name }) => flags.kind?.includes(name) ?? true)
  const mounts = mayMount()
  const able = chosen.filter(({ needs }) => needs === undefined || has(needs, mounts))
  for (const { name, needs } of chosen.filter((kind) => !able.includes(kind)))
    process.stdout.write(`left out: ${name}, which needs ${needs}\n`)
  const names = able.map(({ name }) => name)
  const lives: Omit<Life, 'folder'>[] = []
  const begin = only === undefined ? 0 : only - (only % worldRounds)
  const end = only === undefined ? runs : only + 1
  for (let first = begin; first < end; first += worldRounds)
    lives.push({ seed, first, count: Math.min(worldRounds, end - first), mounts, kinds: names })

  const results: Result[] = []
  const told = (result: Result) => {
    results.push(result)
    for (const violation of result.violations.slice(0, 6))
      process.stdout.write(
        `FAILED --seed ${seed}${flags.kind ? ` --kind '${flags.kind}'` : ''} --only-run ${result.index} (${result.kind}, ${result.command}, ${result.what}): ${violation.replaceAll('\n', ' / ').slice(0, 900)}\n`,
      )
  }
  const next = async (): Promise<void> => {
    for (let life = lives.shift(); life !== undefined; life = lives.shift()) {
      await live(life, told)
      process.stderr.write(`${results.length} of ${end - begin} faults done\n`)
    }
  }
  await Promise.all(Array.from({ length: workers }, next))
  if (flags.json) writeFileSync(flags.json, `${JSON.stringify(results, null, 2)}\n`)
  const failed = results.filter(({ violations }) => violations.length > 0).length
  process.stdout.write(`\n${tableOf(results)}\n\n${results.length - failed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

/** Folders of the worlds now running. */
const folders = new Set<string>()
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1))

/** Runs one world in its own process. If it ends early, its current round has failed. */
async function live(life: Omit<Life, 'folder'>, told: (result: Result) => void): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'faults-'))
  folders.add(folder)
  const words = [
    process.execPath,
    '--import',
    'tsx',
    path.join(import.meta.dirname, 'world-process.ts'),
    JSON.stringify({ ...life, folder }),
  ]
  const apart = [
    'unshare',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    '--propagation',
    'private',
  ]
  // The first process of a PID namespace must reap all others; bash does.
  const init = ['bash', '-c', '"$@"; exit $?', 'bash']
  const [program = '', ...args] = life.mounts ? [...apart, ...init, ...words] : words
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  let seen = 0
  let complaint = ''
  child.stderr.on('data', (data) => {
    complaint = (complaint + data).slice(-3000)
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  for await (const line of createInterface(child.stdout)) {
    seen++
    told(JSON.parse(line))
  }
  const code = await ended
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
  if (code === 0 && seen === life.count) return
  told({
    index: life.first + seen,
    kind: 'the campaign itself',
    command: 'status',
    what: `its world ended with ${code}`,
    ending: 'too late',
    violations: [complaint],
    seconds: 0,
  })
}

function mayMount(): boolean {
  return works('unshare', '--mount', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt')
}

function has(needs: NonNullable<Kind['needs']>, mounts: boolean): boolean {
  const programs = { mounts: 'mount', sshd: '/usr/sbin/sshd', fiu: 'fiu-run', faketime: 'faketime' }
  return mounts && works('which', programs[needs])
}

function works(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

try {
  process.exitCode = await main(parseFlags(process.argv.slice(2), table))
} catch (error) {
  if (!(error instanceof FlagError)) throw error
  process.stderr.write(`faults: ${error.message}\n`)
  process.exitCode = 2
}
