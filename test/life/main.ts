import { writeFileSync } from 'node:fs'
import { FlagError, flagsInWords, number, parseFlags, text } from '../../lib/cli/flags.ts'
import { figures } from './figures.ts'
import { live } from './life.ts'
import { plot } from './plot.ts'

const above0 = { least: 1e-9, most: 1e9, whole: false }

const flags = {
  seed: number('N', 'what decides everything; 1 when it is not given', above0),
  years: number('N', 'how long the life is; 3', above0),
  days: number('N', 'the same in days', above0),
  svg: text('FILE', 'how R2 and SFS grew, as a picture'),
}

const help = `life: three years of backups in virtual time, over simulated machines and stores

  npm run life -- --seed 1 --years 3

From the plan to rotation, restore and status everything is the code that is shipped, and the crontabs are those that are installed; what is
simulated is bytes, machines, people and what goes wrong. It ends with its figures in Markdown, or at the first promise that does not
hold, with the seed and the time at which it broke. Ctrl-C ends it with the day, and gives the figures until then.

${flagsInWords(flags)
  .map(([usage, help]) => `  ${usage.padEnd(14)}${help}`)
  .join('\n')}
`

try {
  process.exitCode = await run(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`life: ${error instanceof FlagError ? error.message : (error as Error).stack}\n`)
  process.exitCode = error instanceof FlagError ? 2 : 1
}

async function run(argv: readonly string[]): Promise<number> {
  const given = parseFlags(argv, flags)
  if (given.help) {
    process.stdout.write(help)
    return 0
  }
  const { seed = 1, years = 3, days = years * 365.25, svg } = given
  const began = Date.now()
  let stopped = false
  process.once('SIGINT', () => {
    stopped = true
  })
  const life = await live({
    seed,
    start: new Date('2026-11-23T00:00:00Z'),
    days: Math.ceil(days),
    onDay(lived) {
      if (lived % 30 === 0)
        process.stderr.write(`${lived} days in ${Math.round((Date.now() - began) / 1000)} s\n`)
    },
    isEnough: () => stopped,
  })
  process.stdout.write(`${figures(life)}\n`)
  if (svg) writeFileSync(svg, plot(life))
  return 0
}
