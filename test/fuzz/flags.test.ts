import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backupFlags } from '../../lib/cli/backup-manual.ts'
import { doctorFlags } from '../../lib/cli/doctor-manual.ts'
import { type Flag, FlagError, listOf, parseFlags } from '../../lib/cli/flags.ts'
import { restoreFlags } from '../../lib/cli/restore-manual.ts'
import { verifyFlags } from '../../lib/cli/verify-manual.ts'
import { tries } from './tries.ts'

const commands: [string, readonly Flag[]][] = [
  ['the backups', backupFlags],
  ['restore', restoreFlags],
  ['verify', verifyFlags],
  ['doctor', doctorFlags],
]

test.each(commands)('whatever is typed behind %s, it is understood, or refused in words', (_, known) => {
  const name = fc.constantFrom(
    ...known.map((flag) => flag.name),
    '__proto__',
    'constructor',
    'toString',
    'no-json',
    '',
  )
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 8 }),
    fc.constantFrom('', '-', '--', '-rf', 'env', 'a,b', '../..', '\u001b[2J', '$(id)'),
  )
  const word = fc.oneof(
    { weight: 5, arbitrary: name.map((each) => `--${each}`) },
    { weight: 3, arbitrary: fc.tuple(name, value).map(([each, its]) => `--${each}=${its}`) },
    { weight: 3, arbitrary: value },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }).map((each) => `-${each}`) },
  )
  const outcomes = { understood: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(word, { maxLength: 5 }), (argv) => {
      try {
        const flags = parseFlags(argv, known)
        outcomes.understood++
        for (const [given, its] of Object.entries(flags)) {
          const flag = known.find((one) => one.name === given)
          if (flag?.value === undefined) expect(its).toBe(true)
          else expect(its).toSatisfy((text) => typeof text === 'string' && text !== '')
          expect(argv.some((one) => one === `--${given}` || one === `--${given}=${its}`)).toBe(true)
          for (const part of listOf(its) ?? []) expect(part).not.toBe('')
        }
        // Nothing that was typed is passed over.
        const told = Object.entries(flags).reduce(
          (sum, [given, its]) => sum + (its === true || argv.includes(`--${given}=${its}`) ? 1 : 2),
          0,
        )
        expect(told).toBe(argv.filter((one) => one !== '--').length)
      } catch (error) {
        if (!(error instanceof FlagError)) throw error
        outcomes.refused++
        for (const { name: one } of known) expect(error.message).toContain(`--${one}`)
      }
    }),
    tries(2000),
  )
  expect(Math.min(outcomes.understood, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(20)
})
