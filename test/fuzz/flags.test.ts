import { readdirSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { FlagError, type FlagTable, flagsInWords, parseFlags } from '../../lib/cli/flags.ts'
import type { Program } from '../../lib/cli/main.ts'
import { share, tries } from './tries.ts'

const scripts = path.resolve(import.meta.dirname, '../../scripts')
const commands = readdirSync(scripts).flatMap((name) => /^(.*)\.ts$/.exec(name)?.[1] ?? [])

test.each(commands)('whatever is typed behind %s, it is understood, or refused in words', async (command) => {
  const { manual }: Program = (await import(path.join(scripts, `${command}.ts`))).default
  const asTyped: FlagTable = Object.fromEntries(
    Object.entries(manual.flags).map(([key, row]) => [
      key,
      row.value && !('word' in row) ? { ...row, read: (text: string) => text } : row,
    ]),
  )
  const words = 'machine' in manual.flags ? ['verda'] : []
  const known = flagsInWords(manual.flags).map(([usage]) => usage.split(' ')[0] as string)
  const name = fc.constantFrom(
    ...known.map((one) => one.slice(2)),
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
        const { machine: _, ...asked } = parseFlags([...words, ...argv], asTyped) as Record<string, unknown>
        outcomes.understood++
        // Nothing that was typed is skipped.
        const told = Object.entries(asked).flatMap(([key, its]) => {
          const flag = `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
          expect(known).toContain(flag)
          if (its === true) return [flag]
          expect(its).toSatisfy((text) => typeof text === 'string' && text !== '')
          return argv.includes(`${flag}=${its}`) ? [`${flag}=${its}`] : [flag, its]
        })
        expect(told.toSorted()).toEqual(argv.filter((one) => one !== '--').toSorted())
      } catch (error) {
        if (!(error instanceof FlagError)) throw error
        outcomes.refused++
        for (const one of known) expect(error.message).toContain(one)
      }
      // As the command has it, values are read as well.
      try {
        const asked = parseFlags([...words, ...argv], manual.flags)
        expect(Object.values(asked)).not.toContain(undefined)
      } catch (error) {
        if (!(error instanceof FlagError)) throw error
      }
    }),
    tries(2000),
  )
  expect(Math.min(outcomes.understood, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(share(20))
})
