import { checkNames, flag, list, oneOf } from '../lib/cli/flags.ts'
import { main } from '../lib/cli/main.ts'
import { print, printJson } from '../lib/cli/output.ts'
import { type DoctorReport, groups } from '../lib/doctor/show.ts'
import { printableLines } from '../lib/text.ts'

export default await main(
  import.meta.url,
  {
    command: 'doctor',
    summary: 'checks that everything the backups need is in place, and says what to do',
    description: `
Run it at the end of a set-up on Verda or on Mello, and whenever something is odd. It prints a line for each check: ok, warning or WRONG,
what it found, and below that what to do.

It changes nothing but two or three small objects below .comfyume-backup/ in each bucket, which show what the server can be relied on for.
They are written once and read from then on. Nothing is ever deleted.`,
    flags: {
      on: oneOf(['verda', 'mello'], 'verda or mello; else guessed from what is there', 'HOST'),
      only: list('a,b', `these groups of checks: ${groups.join(', ')}`),
      dryRun: flag('list the checks and carry none out'),
      json: flag('one JSON report on standard output'),
      quiet: flag('print only what is not ok'),
    },
    examples: {
      'after setting up': 'comfyume-backup doctor',
      'only what is not ok': 'comfyume-backup doctor --quiet',
      'ssh to Verda was changed': 'comfyume-backup doctor --only hosts,sources',
      'what would be looked at': 'comfyume-backup doctor --dry-run',
    },
    exits: {
      0: 'nothing is wrong; there may be warnings',
      1: 'something is wrong or could not be checked',
      2: 'wrong flags, or wrong settings; everything else was still checked',
    },
  },
  async (asked, { toolkit }) => {
    const { examineEnvironment } = await import('../lib/settings/settings.ts')
    const { openContext } = await import('../lib/doctor/context.ts')
    const { thisMachine } = await import('../lib/doctor/machine.ts')
    const { checksFor, runChecks } = await import('../lib/doctor/run.ts')
    const { checkList, doctorJson, isFine, merged, resultLines, summaryLine } = await import(
      '../lib/doctor/show.ts'
    )
    const { Progress } = await import('../lib/cli/progress.ts')

    checkNames('--only', asked.only, groups, 'the groups are')
    const { environment, file, problems: fileProblems } = examineEnvironment(toolkit)
    const machine = asked.on ? { on: asked.on, because: '--on says so' } : await thisMachine(environment)
    await using context = openContext({ ...machine, toolkit, environment, file, fileProblems })
    const { on, because, settingProblems } = context
    const command = 'doctor'
    // Always report wrong settings, because other checks depend on them.
    const checks = checksFor(context).filter(
      ({ group, name }) =>
        (asked.only?.includes(group) ?? true) ||
        (group === 'settings' && name === 'values' && settingProblems.length > 0),
    )
    if (asked.dryRun) {
      const listed = checks.map(({ group, name, what }) => ({ group, name, what }))
      if (asked.json) printJson({ command, host: on, checks: listed })
      else print(checkList(checks, on, because))
      return 0
    }

    const report: DoctorReport = {
      command,
      host: on,
      startedAt: new Date().toISOString(),
      finishedAt: '',
      ok: false,
      checks: [],
    }
    const say = (text: string) => {
      if (!asked.json) print(printableLines(text))
    }
    const progress = asked.json || asked.quiet ? undefined : Progress.on(process.stderr)
    progress?.start('looking')
    for await (const { shown, all } of merged(runChecks(checks, context))) {
      report.checks.push(...all)
      if (asked.quiet && shown.status === 'ok') continue
      progress?.stop()
      say(resultLines(shown))
      progress?.resume()
    }
    progress?.stop()
    report.finishedAt = new Date().toISOString()
    report.ok = isFine(report.checks)
    if (asked.json) printJson(doctorJson(report))
    else if (!asked.quiet || report.checks.some(({ status }) => status !== 'ok')) say(summaryLine(report))
    return settingProblems.length > 0 ? 2 : report.ok ? 0 : 1
  },
)
