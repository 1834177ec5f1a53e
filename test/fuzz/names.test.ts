import fc from 'fast-check'
import { expect, test } from 'vitest'
import { items } from '../../lib/inventory.ts'
import {
  archiveName,
  archiveOfRecord,
  ladder,
  makeStamp,
  readArchiveName,
  readRunReportName,
  readStamp,
  recordName,
  runReportName,
  type StampUnit,
  stampTime,
  stampUnit,
} from '../../lib/naming.ts'
import { tries } from './tries.ts'

const names = items.map(({ name }) => name)
/** Digits that are no ASCII ones, signs that look like a dash or a dot, what ends or steers a line, what climbs. */
const strange = [
  '٢',
  '２',
  '२',
  '𝟐',
  '‐',
  '–',
  '․',
  '﹒',
  '\u200b',
  '\u202e',
  '\n',
  '\r',
  '\0',
  '\u001b[2K',
  '..',
  '/',
  '\\',
  '%2e',
  ' ',
]
const parts = [
  ...names,
  'env-extra',
  '-',
  '--',
  '2026',
  '-02-29',
  '-11-24',
  '-18',
  '-05',
  '-60',
  '.tar.gz',
  '.sha256',
  '.next',
  '-latest',
  'runs/',
  '.json',
  'İ',
  'ß',
]
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: fc.constantFrom(...strange, ...parts), maxLength: 12 }),
  fc.string({ unit: fc.constantFrom(...parts), maxLength: 10 }),
  fc.string({ minLength: 5000, maxLength: 20_000 }),
)
const time = fc.date({
  min: new Date('2000-01-01'),
  max: new Date('2099-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})
const unit = fc.constantFrom<StampUnit>('day', 'hour', 'minute')
/** A good name of an item, with a piece of it exchanged. */
const spoilt = fc
  .tuple(
    fc.constantFrom(...names),
    time,
    unit,
    fc.nat(),
    fc.nat(3),
    fc.oneof(fc.constantFrom(...strange), fc.string({ unit: 'binary', maxLength: 3 })),
  )
  .map(([item, when, by, at, length, piece]) => {
    const name = archiveName(item, makeStamp(when, by))
    const from = at % (name.length + 1)
    return name.slice(0, from) + piece + name.slice(from + length)
  })

test('whatever a file is called, it is read as an archive only when that very name would be made, and of one item alone', () => {
  fc.assert(
    fc.property(fc.oneof(text, spoilt), (file) => {
      const claims = names.filter((item) => readArchiveName(item, file) !== undefined)
      expect(claims.length).toBeLessThanOrEqual(1)
      for (const item of claims) {
        const name = readArchiveName(item, file)
        const made = name?.kind === 'dated' ? archiveName(item, name.stamp) : `${item}-latest.tar.gz`
        expect(made).toBe(file)
      }
    }),
    tries(5000),
  )
})

test('whatever an item is called, making a name of it gives one that is read as that item, or is refused', () => {
  fc.assert(
    fc.property(text, time, unit, (item, when, by) => {
      let name: string
      try {
        name = archiveName(item, makeStamp(when, by))
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
        return
      }
      expect(readArchiveName(item, name)).toEqual({ kind: 'dated', stamp: makeStamp(when, by) })
      expect(name).toMatch(/^[a-z0-9][a-z0-9._-]*$/)
    }),
    tries(3000),
  )
})

test('whatever the text, stamps, records and reports are read only from what would be made', () => {
  fc.assert(
    fc.property(fc.oneof(text, spoilt), (any) => {
      const stamp = readStamp(any)
      if (stamp !== undefined) expect(makeStamp(stampTime(stamp), stampUnit(stamp))).toBe(any)
      const archive = archiveOfRecord(any)
      if (archive !== undefined) expect(recordName(archive)).toBe(any)
      const report = readRunReportName(any)
      if (report !== undefined) expect(runReportName(report.command, report.time)).toBe(any)
    }),
    tries(5000),
  )
})

test('the names that one content may take at a moment are all different, and each is read back', () => {
  fc.assert(
    fc.property(fc.constantFrom(...names), time, unit, (item, now, base) => {
      const rungs = ladder(item, now, base)
      expect(new Set(rungs.map(({ name }) => name)).size).toBe(rungs.length)
      for (const { stamp, name } of rungs) {
        expect(readArchiveName(item, name)).toEqual({ kind: 'dated', stamp })
        expect(stampTime(stamp) <= now).toBe(true)
      }
    }),
    tries(1000),
  )
})
