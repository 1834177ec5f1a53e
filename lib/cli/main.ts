import { RequestError } from '../select.ts'
import { SettingsError } from '../settings.ts'
import { FlagError, type Flags, parseFlags } from './flags.ts'
import { helpText, type Manual } from './help.ts'
import { printableLines } from './printable.ts'

/**
 * Reads the command line, shows the help where it asks for it, else runs the command to its exit code, and ends the process with it, also while something of a hanging share is still under
 * way. The operator's own mistakes are told in words and end with 2; a defect of this program shows its stack.
 */
export async function main(manual: Manual, run: (flags: Flags) => Promise<number>): Promise<never> {
  let code: number
  try {
    const flags = parseFlags(process.argv.slice(2), manual.flags)
    code = flags.help ? await showHelp(manual) : await run(flags)
  } catch (error) {
    const mistake =
      error instanceof FlagError || error instanceof RequestError || error instanceof SettingsError
    process.stderr.write(`${manual.command}: ${printableLines(mistake ? error.message : describe(error))}\n`)
    if (mistake && !(error instanceof SettingsError))
      process.stderr.write(`${manual.command} --help explains them\n`)
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
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}
