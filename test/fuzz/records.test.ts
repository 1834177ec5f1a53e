import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Copy, knownCopy } from '../../lib/copies.ts'
import { readStamp, type Stamp } from '../../lib/naming.ts'
import { type ArchiveRecord, makeRecord, readRecord } from '../../lib/record.ts'
import { BadArchive, holdTail } from '../../lib/restore/files/unpack.ts'
import { share, tries } from './tries.ts'

const archive = 'env-2026-11-24.tar.gz'
const content = Buffer.from('what the archive holds')
const sha256 = createHash('sha256').update(content).digest('hex')
const copy: Copy = {
  key: `config/${archive}`,
  stamp: readStamp('2026-11-24') as Stamp,
  bytes: content.length,
  recordKey: `config/${archive}.sha256`,
}

const line = fc
  .string({ unit: 'grapheme', maxLength: 30 })
  .map((text) => text.replace(/[\n\r\u2028\u2029]/g, ' '))
const date = fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2200-01-01') })
const record: fc.Arbitrary<ArchiveRecord> = fc.record(
  {
    archive: fc.constant(archive),
    sha256: fc.constant(sha256),
    item: fc.constant('env'),
    host: line,
    environment: line,
    time: date,
    bytes: fc.constant(content.length),
    fingerprint: line,
    adopted: date,
    changed: fc.array(line, { minLength: 1, maxLength: 5 }),
  },
  { requiredKeys: ['archive', 'sha256'] },
)

type Change = (text: string) => string
const position = fc.nat()
const atLines = (change: (lines: string[], at: number) => string[]) =>
  position.map(
    (at): Change =>
      (text) => {
        const lines = text.split('\n')
        return change(lines, at % lines.length).join('\n')
      },
  )
/** What disks, editors, transfers and people do to a small file. */
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.tuple(position, fc.nat(7)).map(
    ([at, bit]): Change =>
      (text) => {
        const bytes = Buffer.from(text)
        const index = at % Math.max(1, bytes.length)
        if (bytes.length > 0) bytes[index] = (bytes[index] as number) ^ (1 << bit)
        return bytes.toString()
      },
  ),
  position.map(
    (at): Change =>
      (text) =>
        text.slice(0, at % (text.length + 1)),
  ),
  position.map(
    (at): Change =>
      (text) =>
        text.slice(at % (text.length + 1)),
  ),
  fc.constant<Change>((text) => text.replaceAll('\n', '\r\n')),
  fc.constant<Change>((text) => text.toUpperCase()),
  fc.constant<Change>((text) => text + text),
  fc.constant<Change>((text) => `\uFEFF${text}`),
  fc.constant<Change>((text) => `# changed: ${'x'.repeat(200_000)}\n${text}`),
  fc
    .tuple(position, fc.constantFrom('\0', '\0'.repeat(4096), '\n', '\r', ' ', '  ', '\u2028', '\u001b[2J'))
    .map(
      ([at, piece]): Change =>
        (text) =>
          text.slice(0, at % (text.length + 1)) + piece + text.slice(at % (text.length + 1)),
    ),
  atLines((lines, at) => [...lines.slice(at), ...lines.slice(0, at)]),
  atLines((lines, at) => [...lines.slice(0, at), lines[at] as string, ...lines.slice(at)]),
  atLines((lines, at) => lines.filter((_, index) => index !== at)),
  fc
    .constantFrom(
      '# bytes: 1',
      '# bytes: 99999999999999999999',
      '# time: never',
      '# time: 9999-12-31T23:59-14:00',
      '# __proto__: x',
      '# constructor: x',
      `${'0'.repeat(64)}  ${archive}`,
      `${sha256}  ../${archive}`,
      `${sha256}  x`,
    )
    .map(
      (extra): Change =>
        (text) =>
          `${extra}\n${text}`,
    ),
)
const mutated = fc
  .tuple(record, fc.array(change, { minLength: 1, maxLength: 3 }))
  .map(([made, changes]) => changes.reduce((text, each) => each(text), makeRecord(made)))

/** Whether an archive with the content above is let through with this record. */
async function passes(read: ArchiveRecord): Promise<boolean> {
  try {
    const seen = { bytes: 0, sha256: '' }
    await buffer(Readable.from(holdTail(Readable.from([content]), read, seen)))
    return true
  } catch (error) {
    expect(error).toBeInstanceOf(BadArchive)
    return false
  }
}

test('whatever the text, reading it as a record fails in no way, and gives a digest and a name or nothing', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    mutated,
    fc.string({
      unit: fc.constantFrom(
        '# ',
        'time: ',
        'bytes: ',
        '9',
        'a'.repeat(64),
        '  ',
        '\n',
        '\r',
        '2026-02-29',
        'T',
        ':',
        '+',
        '-',
      ),
    }),
  )
  fc.assert(
    fc.property(text, (any) => {
      const read = readRecord(any)
      if (read === undefined) return
      expect(read.sha256).toMatch(/^[0-9a-f]{64}$/)
      expect(read.archive).not.toBe('')
      if (read.time !== undefined) expect(read.time.getTime()).not.toBeNaN()
      if (read.bytes !== undefined) expect(read.bytes).toBeGreaterThanOrEqual(0)
      expect(readRecord(makeRecord(read))).toEqual(read)
    }),
    tries(3000),
  )
})

test('a record that was damaged speaks of the same archive and digest, or its archive is not taken for good', async () => {
  const outcomes = { same: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(mutated, async (text) => {
      const known = knownCopy(copy, text)
      if (known === undefined) {
        outcomes.refused++
        return
      }
      expect(known.record.archive).toBe(archive)
      expect(Number.isNaN(known.time.getTime())).toBe(false)
      const isSame = known.record.sha256 === sha256
      expect(await passes(known.record)).toBe(isSame)
      outcomes[isSame ? 'same' : 'refused']++
    }),
    tries(1500),
  )
  expect(Math.min(outcomes.same, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(share(50))
})

test('one digit of the digest exchanged, and the archive is refused', async () => {
  await fc.assert(
    fc.asyncProperty(record, fc.nat(63), fc.constantFrom(...'0123456789abcdef'), async (made, at, digit) => {
      const wrong = sha256.slice(0, at) + digit + sha256.slice(at + 1)
      const read = readRecord(makeRecord({ ...made, sha256: wrong }))
      expect(await passes(read as ArchiveRecord)).toBe(wrong === sha256)
    }),
    tries(300),
  )
})
