import { Mistake } from '../mistake.ts'
import { printableLines } from '../printable.ts'
import { type Flags, parseFlags } from './flags.ts'
import { helpText, type Manual } from './help.ts'

/**
 * Reads the command line, shows the help where it asks for it, else runs the command to its exit code, and ends the process with it, also while something of a hanging share is still under
 * way. The operator's own mistakes are told in words and end with 2; a defect of this program shows its stack. What the command itself needs is for `run` to
 * load: a help page or a wrong flag does not wait for it.
 */
export async function main(manual: Manual, run: (flags: Flags) => Promise<number>): Promise<never> {
  // Whatever cron or a login shell had: nothing that this makes, itself or through its children, can others write to.
  process.umask(process.umask(0o022) | 0o022)
  let code: number
  try {
    const flags = parseFlags(process.argv.slice(2), manual.flags)
    code = flags.help ? await showHelp(manual) : await run(flags)
  } catch (error) {
    const mistake = error instanceof Mistake
    process.stderr.write(`${manual.command}: ${printableLines(mistake ? error.message : describe(error))}\n`)
    if (mistake && error.explainedByHelp) process.stderr.write(`${manual.command} --help explains them\n`)
    code = mistake ? 2 : 1
  }
  await Promise.all([process.stdout, process.stderr].map(flushed))
  process.exit(code)
}

async function showHelp(manual: Manual): Promise<number> {
  process.stdout.write(`${helpText(manual)}\n`)
  return 0
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return isOfSystem(error) ? error.message : (error.stack ?? error.message)
}

/** A disk that is full or fails is no defect of this program: `EIO: i/o error, open '/mnt/sfs/…'`. */
function isOfSystem(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return code !== undefined && syscall !== undefined
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}
