import { realpathSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Mistake } from '../settings/mistake.ts'
import { messageOf, printableLines, setOwnLine } from '../text.ts'
import { type Asked, FlagError, type FlagTable, parseFlags } from './flags.ts'
import { helpText, type Manual } from './help.ts'
import { endOutput, surviveLostOutput } from './output.ts'
import { type Pinger, pinger } from './ping.ts'

/**
 * A command: takes words, prints to this process's streams, returns the exit code. `toolkit`: the folder with
 * scripts, crontab and .env. Default: the folder of its own script.
 */
export type Program = ((argv: readonly string[], toolkit?: string) => Promise<number>) & { manual: Manual }

/** What a command gets in addition to its flags. */
export interface Given {
  /** The folder with scripts, crontab and .env. */
  toolkit: string
  /** The monitoring service, with this run's check. Does nothing if none is set up. */
  ping: Pinger
}

type Run<F extends FlagTable> = (asked: Asked<F>, given: Given) => Promise<number>

/** Returns the command. If the process was started with `script`, also runs it and ends the process. */
export async function main<F extends FlagTable>(
  script: string,
  manual: Manual<F>,
  run: Run<F>,
): Promise<Program> {
  const own = path.resolve(path.dirname(fileURLToPath(script)), '..')
  const program: Program = Object.assign(
    (argv: readonly string[], toolkit = own) => runCommand(argv, manual, run, toolkit),
    { manual },
  )
  if (!startedWith(script)) return program
  surviveLostOutput()
  // The exit code if Node ends because nothing keeps it alive.
  process.exitCode = 1
  const code = await program(process.argv.slice(2))
  const lost = await endOutput(manual.command)
  // Ends even if access to a hanging share is still pending.
  process.exit(lost && code === 0 ? 1 : code)
}

/**
 * Parses the command line, then shows the help or runs the command. Mistakes end with 2 and no stack, bugs
 * show the stack. `run` loads its own modules, so that --help and wrong flags answer at once.
 */
async function runCommand<F extends FlagTable>(
  argv: readonly string[],
  manual: Manual<F>,
  run: Run<F>,
  toolkit: string,
): Promise<number> {
  // Whatever the umask of cron or a login shell was: others must not write to our files.
  process.umask(process.umask(0o022) | 0o022)
  try {
    if (argv.includes('--version')) return await showVersion()
    const words = argv.map((word) => (word === '-h' ? '--help' : word))
    const asked = parseFlags(words, manual.flags)
    if (asked.help) return await showHelp(manual)
    const ping = await pingerFor(asked, manual, toolkit)
    setOwnLine([manual.command, ...argv])
    return await run(asked, { toolkit, ping }).catch(async (error) => {
      if (!(error instanceof FlagError)) await ping.end(false, messageOf(error))
      throw error
    })
  } catch (error) {
    const mistake = error instanceof Mistake
    process.stderr.write(`${manual.command}: ${printableLines(mistake ? error.message : describe(error))}\n`)
    if (mistake && error.explainedByHelp)
      process.stderr.write(`comfyume-backup ${manual.command} --help explains them\n`)
    return mistake ? 2 : 1
  }
}

async function pingerFor<F extends FlagTable>(
  asked: Asked<F> & { dryRun?: boolean },
  manual: Manual<F>,
  toolkit: string,
): Promise<Pinger> {
  if (manual.check === undefined || asked.dryRun) return pinger(undefined, '')
  const { examineEnvironment } = await import('../settings/settings.ts')
  return pinger(examineEnvironment(toolkit).environment.BACKUP_PING_URL, manual.check(asked))
}

/** True unless the process certainly started with another file. A wrong false would do nothing and exit 0. */
function startedWith(script: string): boolean {
  try {
    return realpathSync(process.argv[1] as string) === realpathSync(fileURLToPath(script))
  } catch {
    return true
  }
}

async function showHelp(manual: Manual): Promise<number> {
  const { table } = await import('../settings/table.ts')
  process.stdout.write(`${helpText(manual, table)}\n`)
  return 0
}

async function showVersion(): Promise<number> {
  const file = path.join(import.meta.dirname, '../../package.json')
  process.stdout.write(`${JSON.parse(await readFile(file, 'utf8')).version}\n`)
  return 0
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return isOfSystem(error) ? error.message : (error.stack ?? error.message)
}

/** A full or failing disk is not a bug: `EIO: i/o error, open '/mnt/sfs/…'`. */
function isOfSystem(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return code !== undefined && syscall !== undefined
}
