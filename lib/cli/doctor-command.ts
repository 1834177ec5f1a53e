import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type Check, groups } from '../doctor/check.ts'
import { checksFor } from '../doctor/checks.ts'
import { type Context, openContext } from '../doctor/context.ts'
import { runChecks } from '../doctor/run.ts'
import { checkList, type DoctorReport, merged, resultLines, summaryLine } from '../doctor/show.ts'
import { guessHost } from '../doctor/where.ts'
import { localHost } from '../hosts/local.ts'
import type { HostName } from '../inventory.ts'
import { printableLines } from '../printable.ts'
import { examineEnvironment, examineSettings } from '../settings.ts'
import { FlagError, type Flags, listOf } from './flags.ts'
import { Progress } from './progress.ts'

/** The command from its command line to its exit code. */
export async function doctorCommand(flags: Flags): Promise<number> {
  const only = readGroups(flags.only)
  const toolkit = path.resolve(import.meta.dirname, '../..')
  const { environment, file, problems: fileProblems } = examineEnvironment(toolkit)
  const machine = readHost(flags.on) ?? (await guess(environment))
  const context = openContext({ ...machine, toolkit, environment, file, fileProblems })
  try {
    const checks = checksFor(context).filter((check) => isAsked(check, only, context))
    if (flags['dry-run']) {
      process.stdout.write(
        `${flags.json ? listAsJson(checks, context) : checkList(checks, context.on, context.because)}\n`,
      )
      return 0
    }
    const report = await run(checks, context, flags)
    return context.settingProblems.length > 0 ? 2 : report.ok ? 0 : 1
  } finally {
    await Promise.race([context.close(), new Promise((resolve) => setTimeout(resolve, closeMs))])
  }
}

/** For connections of checks that were given up. */
const closeMs = 2_000

async function run(checks: readonly Check[], context: Context, flags: Flags): Promise<DoctorReport> {
  const report: DoctorReport = {
    command: 'doctor',
    host: context.on,
    startedAt: new Date().toISOString(),
    finishedAt: '',
    ok: false,
    checks: [],
  }
  const print = (text: string) => {
    if (!flags.json) process.stdout.write(`${printableLines(text)}\n`)
  }
  const progress = flags.json || flags.quiet ? undefined : Progress.on(process.stderr)
  progress?.start('looking')
  for await (const { shown, all } of merged(runChecks(checks, context))) {
    report.checks.push(...all)
    if (flags.quiet && shown.status === 'ok') continue
    progress?.stop()
    print(resultLines(shown))
    progress?.resume()
  }
  progress?.stop()
  report.finishedAt = new Date().toISOString()
  report.ok = report.checks.every(({ status }) => status !== 'wrong')
  if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  else if (!flags.quiet || report.checks.some(({ status }) => status !== 'ok')) print(summaryLine(report))
  return report
}

/** Settings that are wrong are told whatever is asked for: nothing that depends on them can be. */
function isAsked({ group, name }: Check, only: string[] | undefined, { settingProblems }: Context): boolean {
  if (only === undefined || only.includes(group)) return true
  return group === 'settings' && name === 'values' && settingProblems.length > 0
}

function listAsJson(checks: readonly Check[], { on }: Context): string {
  const listed = checks.map(({ group, name, what }) => ({ group, name, what }))
  return JSON.stringify({ command: 'doctor', host: on, checks: listed }, null, 2)
}

function readGroups(value: string | true | undefined): string[] | undefined {
  const names = listOf(value)
  const unknown = (names ?? []).filter((name) => !(groups as readonly string[]).includes(name))
  if (unknown.length > 0 || names?.length === 0)
    throw new FlagError(
      `--only: ${unknown.join(', ') || 'names nothing'}; the groups are ${groups.join(', ')}`,
    )
  return names
}

function readHost(value: string | true | undefined): { on: HostName; because: string } | undefined {
  if (value === undefined) return undefined
  if (value === 'verda' || value === 'mello') return { on: value, because: '--on says so' }
  throw new FlagError(`--on takes verda or mello; it was given ${JSON.stringify(value)}`)
}

async function guess(environment: Record<string, string | undefined>) {
  const { sfs, roots } = examineSettings(environment).settings
  const read = (file: string) => readFile(file, 'utf8').catch(() => '')
  const here = localHost({ name: 'this machine', root: '/' })
  const crontab = await here.run('crontab -l', [], { timeout: 10 }).then(
    ({ stdout }) => stdout.toString(),
    () => '',
  )
  const traces = {
    crontab,
    mountinfo: await read('/proc/self/mountinfo'),
    fstab: await read(path.join(roots.verda, 'etc/fstab')),
  }
  return guessHost(traces, sfs.root)
}
