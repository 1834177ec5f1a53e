import { RequestError } from '../select.ts'
import { SettingsError } from '../settings.ts'
import { FlagError } from './flags.ts'

/**
 * Runs a command to its exit code and ends the process with it, also while something of a hanging share is still under
 * way. The operator's own mistakes are told in words and end with 2; a defect of this program shows its stack.
 */
export async function main(command: string, run: () => Promise<number>): Promise<never> {
  let code: number
  try {
    code = await run()
  } catch (error) {
    const mistake =
      error instanceof FlagError || error instanceof RequestError || error instanceof SettingsError
    process.stderr.write(`${command}: ${mistake ? error.message : describe(error)}\n`)
    if (mistake && !(error instanceof SettingsError))
      process.stderr.write(`${command} --help explains them\n`)
    code = mistake ? 2 : 1
  }
  await Promise.all([process.stdout, process.stderr].map(flushed))
  process.exit(code)
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write('', () => resolve()))
}
