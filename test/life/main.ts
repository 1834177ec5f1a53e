import { writeFileSync } from 'node:fs'
import { type Flag, FlagError, parseFlags } from '../../lib/cli/flags.ts'
import { figures } from './figures.ts'
import { live } from './life.ts'
import { plot } from './plot.ts'

const flags: readonly Flag[] = [
  { name: 'seed', value: 'N', help: 'what decides everything; 1 when it is not given' },
  { name: 'years', value: 'N', help: 'how long the life is; 3' },
  { name: 'days', value: 'N', help: 'the same in days' },
  { name: 'svg', value: 'FILE', help: 'how R2 and SFS grew, as a picture' },
  { name: 'help', help: 'this page' },
]

const help = `life: three years of backups in virtual time, over simulated machines and stores

  npm run life -- --seed 1 --years 3

From the plan to rotation, restore and status everything is the code that is shipped, and the crontabs are those that are installed; what is
simulated is bytes, machines, people and what goes wrong. It ends with its figures in Markdown, or at the first promise that does not
hold, with the seed and the time at which it broke. Ctrl-C ends it with the day, and gives the figures until then.

${flags.map(({ name, value, help }) => `  ${`--${name}${value ? ` ${value}` : ''}`.padEnd(14)}${help}`).join('\n')}
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
  const days =
    given.days === undefined ? numberOf('years', given.years, 3) * 365.25 : numberOf('days', given.days, 0)
  const began = Date.now()
  let stopped = false
  process.once('SIGINT', () => {
    stopped = true
  })
  const life = await live({
    seed: numberOf('seed', given.seed, 1),
    start: new Date('2026-11-23T00:00:00Z'),
    days: Math.ceil(days),
    onDay(lived) {
      if (lived % 30 === 0)
        process.stderr.write(`${lived} days in ${Math.round((Date.now() - began) / 1000)} s\n`)
    },
    isEnough: () => stopped,
  })
  process.stdout.write(`${figures(life)}\n`)
  if (typeof given.svg === 'string') writeFileSync(given.svg, plot(life))
  return 0
}

function numberOf(name: string, text: string | true | undefined, fallback: number): number {
  if (text === undefined) return fallback
  const number = Number(text)
  if (typeof text === 'string' && number > 0 && Number.isFinite(number)) return number
  throw new FlagError(`--${name} takes a number above 0; it was given ${JSON.stringify(text)}`)
}
