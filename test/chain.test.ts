import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  archiveOfList,
  bounds,
  type Chain,
  chainOf,
  incrementComment,
  type Known,
  type Link,
  listName,
  whyWhole,
} from '../lib/chain.ts'
import { archiveOfRecord, readArchiveName, recordName } from '../lib/naming.ts'
import { type ArchiveRecord, makeRecord, readRecord } from '../lib/record.ts'

const digest = (letter: string) => letter.repeat(64)
const name = (day: number) => `user-outputs-2026-11-${String(day).padStart(2, '0')}-10.tar.gz`

const whole: ArchiveRecord = {
  archive: name(1),
  sha256: digest('a'),
  bytes: 1000,
  list: { sha256: digest('0'), bytes: 5 },
}
function onTopOf(below: ArchiveRecord, archive: string, sha256: string, bytes = 10): ArchiveRecord {
  const { increment, archive: base } = below
  return {
    archive,
    sha256,
    bytes,
    list: { sha256: digest('1'), bytes: 5 },
    increment: {
      base: { archive: base, sha256: below.sha256 },
      whole: increment?.whole ?? base,
      link: (increment?.link ?? 0) + 1,
      deleted: 3,
    },
  }
}
const one = onTopOf(whole, name(2), digest('b'))
const two = onTopOf(one, name(3), digest('c'))

describe('the record of an increment', () => {
  test('names what it builds on in a second line of sha256sum', () => {
    expect(makeRecord(one)).toBe(`# bytes: 10
# list: ${digest('1')} 5
# whole: ${name(1)}
# link: 1
# deleted: 3
${digest('b')}  ${name(2)}
${digest('a')}  ${name(1)}
`)
    expect(readRecord(makeRecord(one))).toEqual(one)
    expect(readRecord(makeRecord(whole))).toEqual(whole)
  })

  test('without any of its lines is no record, least of all one of a whole archive', () => {
    const lines = makeRecord(one).trimEnd().split('\n')
    for (const gone of ['# whole', '# link', '# deleted', digest('a')]) {
      const rest = lines.filter((line) => !line.startsWith(gone))
      expect(rest.length).toBe(lines.length - 1)
      expect(readRecord(rest.join('\n')), gone).toBeUndefined()
    }
    // What is left without its own digest is the name of another archive: copies.ts sees that.
    expect(readRecord(lines.filter((line) => !line.startsWith(digest('b'))).join('\n'))).toBeUndefined()
    expect(readRecord(`${makeRecord(one)}${digest('d')}  third\n`)).toBeUndefined()
    expect(readRecord(makeRecord(one).replace(`  ${name(1)}`, `  ${name(2)}`)), 'on itself').toBeUndefined()
  })

  test('is none to versions that know no increments, and that of a whole archive with a list is one', () => {
    expect(readRecordOfOldVersion(makeRecord(one))).toBeUndefined()
    expect(readRecordOfOldVersion(makeRecord(two))).toBeUndefined()
    expect(readRecordOfOldVersion(makeRecord(whole))).toEqual({
      sha256: whole.sha256,
      archive: whole.archive,
    })
  })

  test('a list’s name is no archive’s and no record’s', () => {
    const list = listName(`config/${name(1)}`)
    expect(list).toBe(`config/${name(1).replace('.tar.gz', '.list.gz')}`)
    expect(readArchiveName('user-outputs', list.slice('config/'.length))).toBeUndefined()
    expect(archiveOfRecord(list)).toBeUndefined()
    expect(archiveOfList(list)).toBe(`config/${name(1)}`)
    for (const other of [name(1), recordName(name(1)), '.list.gz', 'config/.list.gz'])
      expect(archiveOfList(other)).toBeUndefined()
  })
})

/** The loop of lib/record.ts at fdfef17, before there were increments; its comments changed nothing in what it returns. */
function readRecordOfOldVersion(text: string) {
  const record: { sha256?: string; archive?: string } = {}
  for (const line of text.split('\n')) {
    const comment = /^# (\w+): (.*)$/.exec(line)
    const digest = /^([0-9a-f]{64}) [ *](\S.*)$/.exec(line)
    if (comment) continue
    else if (digest && record.sha256 === undefined)
      [, record.sha256, record.archive] = digest as unknown as [string, string, string]
    else if (line !== '' && !line.startsWith('#')) return undefined
  }
  return record.sha256 === undefined ? undefined : record
}

test('the comment of an increment can be an option of tar, which ends at a comma', () => {
  expect(incrementComment).toMatch(/^[\w :-]+$/)
})

describe('a chain', () => {
  const there = (...records: ArchiveRecord[]) =>
    new Map<string, Known>(records.map((record) => [record.archive, { record, bytes: record.bytes }]))
  const follow = (record: ArchiveRecord, known: Map<string, Known>) =>
    chainOf(record, (archive) => known.get(archive))

  const pair = ({ archive, sha256 }: ArchiveRecord) => ({ archive, sha256 })

  test('is the archives from the whole one on', () => {
    expect(follow(two, there(whole, one, two))).toEqual({ links: [whole, one, two] })
    expect(follow(whole, there(whole))).toEqual({ links: [whole] })
  })

  test.each<[string, (known: Map<string, Known>) => void, Chain]>([
    [
      'the whole archive is gone',
      (known) => known.set(whole.archive, { record: whole }),
      { lost: pair(whole), why: 'no archive' },
    ],
    [
      'a link is gone with its record',
      (known) => known.delete(one.archive),
      { lost: pair(one), why: 'no archive' },
    ],
    [
      'a link has no record',
      (known) => known.set(one.archive, { bytes: 10 }),
      { lost: pair(one), why: 'no record' },
    ],
    [
      'a link has another size',
      (known) => known.set(one.archive, { record: one, bytes: 9 }),
      { lost: pair(one), why: 'other archive' },
    ],
    [
      'a link was written anew',
      (known) => known.set(one.archive, { record: { ...one, sha256: digest('e') }, bytes: 10 }),
      { lost: pair(one), why: 'other archive' },
    ],
    [
      'verify found a link broken',
      (known) => known.set(one.archive, { record: one, bytes: 10, broken: 'it is cut off' }),
      { lost: pair(one), why: 'broken' },
    ],
    ['it is gone itself', (known) => known.delete(two.archive), { lost: pair(two), why: 'no archive' }],
  ])('that %s is told', (_, damage, expected) => {
    const known = there(whole, one, two)
    damage(known)
    expect(follow(two, known)).toEqual(expected)
  })

  test('of forged records that lead round in a circle ends', () => {
    const first = onTopOf(two, name(4), digest('e'))
    const second = onTopOf(first, name(5), digest('f'))
    const round = {
      ...first,
      increment: { ...first.increment, base: { archive: name(5), sha256: digest('f') } },
    } as ArchiveRecord
    expect(follow(second, there(round, second))).toEqual({ lost: pair(second), why: 'other archive' })
  })

  test('of any length gives each archive once, whole first, or names one that is there no more', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 28 }),
        fc.option(fc.nat(28), { nil: undefined }),
        (length, gone) => {
          const records = [whole]
          for (let at = 0; at < length; at++)
            records.push(onTopOf(records.at(-1) as ArchiveRecord, name(at + 2), digest((at % 10).toString())))
          const known = there(...records)
          const lost = gone === undefined ? undefined : records[gone]
          if (lost) known.delete(lost.archive)
          const found = follow(records.at(-1) as ArchiveRecord, known)
          expect(found).toEqual(lost ? { lost: pair(lost), why: 'no archive' } : { links: records })
        },
      ),
    )
  })
})

describe('the next archive is whole', () => {
  const link = (bytes: number): Link => ({ archive: 'x', sha256: digest('a'), bytes })
  const begun = new Date('2026-11-20T10:00:00Z')
  const at = (days: number) => new Date(begun.getTime() + days * 24 * 3600 * 1000)
  const many = (count: number, bytes: number) => Array.from({ length: count }, () => link(bytes))

  test.each<[string, Link[], Date, string | undefined]>([
    ['not after a whole one', [link(100)], at(0), undefined],
    ['not after some', [link(100), ...many(9, 11)], at(6.99), undefined],
    ['after nothing', [], at(0), 'it is the first'],
    ['after a week', [link(100), link(1)], at(7), 'the last whole one is 7 days old'],
    ['when the clock was wrong by a week', [link(100), link(1)], at(-7), 'the last whole one is 7 days old'],
    ['not when it was set back an hour', [link(100), link(1)], at(-1 / 24), undefined],
    [
      'when increments have come to its size',
      [link(100), ...many(10, 10)],
      at(1),
      'the increments together are as large as the whole one',
    ],
    [
      'after so many',
      [link(10 ** 6), ...many(bounds.links, 1)],
      at(6),
      `${bounds.links} increments are enough for a restore`,
    ],
  ])('%s', (_, links, now, why) => {
    expect(whyWhole(links, begun, now)).toBe(why)
  })
})
