import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Warning } from '../lib/acceptance.ts'
import { makeRecord, readRecord } from '../lib/record.ts'
import { cpuSeconds } from './cpu.ts'

const sha256 = 'a'.repeat(64)
const full = {
  archive: 'env-2026-11-24.tar.gz',
  sha256,
  item: 'env',
  host: 'verda',
  environment: 'production',
  time: new Date('2026-11-24T03:00:00.123Z'),
  bytes: 0,
  fingerprint: 'abc-1.5',
  changed: ['home/dev/a: b.log', 'with\\nnewline'],
}

test('law 3: a record is comment lines of a fixed form, then the line that sha256sum reads', () => {
  expect(makeRecord(full)).toBe(`# item: env
# host: verda
# environment: production
# time: 2026-11-24T03:00:00.123Z
# bytes: 0
# fingerprint: abc-1.5
# changed: home/dev/a: b.log
# changed: with\\nnewline
${sha256}  env-2026-11-24.tar.gz
`)
})

test('law 3: sha256sum -c takes the record of an archive, and finds a changed byte', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'record-'))
  const check = () =>
    execFileSync('sha256sum', ['-c', '--strict', 'a.sha256'], { cwd: folder, stdio: 'pipe' }).toString()
  try {
    const digest = createHash('sha256').update('content').digest('hex')
    writeFileSync(path.join(folder, full.archive), 'content')
    writeFileSync(path.join(folder, 'a.sha256'), makeRecord({ ...full, sha256: digest }))
    expect(check()).toBe(`${full.archive}: OK\n`)
    writeFileSync(path.join(folder, full.archive), 'cOntent')
    expect(check).toThrow()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('law 13: what was made is read as it was, whatever its fields', () => {
  const line = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\n\r\u2028\u2029]/g, ' '))
  const record = fc.record(
    {
      archive: fc.constantFrom('env-2026-11-24.tar.gz', 'x'),
      sha256: fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 }),
      item: fc.constant('env'),
      host: line,
      environment: line,
      time: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2200-01-01') }),
      bytes: fc.maxSafeNat(),
      fingerprint: line,
      adopted: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2200-01-01') }),
      content: line,
      tar: line,
      original: line,
      list: fc.record({ sha256: fc.constant('b'.repeat(64)), bytes: fc.nat() }),
      changed: fc.array(line, { minLength: 1 }),
      sources: fc.array(fc.record({ source: fc.string(), files: fc.nat(), bytes: fc.maxSafeNat() }), {
        minLength: 1,
      }),
      warnings: fc.array(
        fc.oneof(
          fc.record({
            kind: fc.constantFrom('device', 'hangs', 'changed', 'torn database'),
            path: fc.string(),
          }),
          fc.record({
            kind: fc.constant('named by digest'),
            path: fc.string(),
            tags: fc.array(fc.string()),
          }),
        ) as fc.Arbitrary<Warning>,
        { minLength: 1 },
      ),
    },
    { requiredKeys: ['archive', 'sha256'] },
  )
  fc.assert(
    fc.property(record, (value) => {
      expect(readRecord(makeRecord(value))).toEqual(value)
    }),
  )
})

test.each([
  ['of sha256sum alone', `${sha256}  a.tar.gz\n`, { archive: 'a.tar.gz', sha256 }],
  ['of sha256sum -b', `${sha256} *a.tar.gz\n`, { archive: 'a.tar.gz', sha256 }],
  ['of a name that begins with a space', `${sha256}   a\n`, { archive: ' a', sha256 }],
  [
    'of a name with what some take for the end of a line',
    `${sha256}  a\u2028\n`,
    { archive: 'a\u2028', sha256 },
  ],
  ['with unknown comments', `# by hand\n# note: x\n${sha256}  a.tar.gz\n`, { archive: 'a.tar.gz', sha256 }],
  ['without a newline at its end', `${sha256}  a.tar.gz`, { archive: 'a.tar.gz', sha256 }],
  [
    'with a time and size that are none',
    `# time: now\n# bytes: -1\n${sha256}  a\n`,
    { archive: 'a', sha256 },
  ],
])('reads a record %s', (_, text, expected) => {
  expect(readRecord(text)).toEqual(expected)
})

test.each([
  ['nothing', ''],
  ['comments alone, as a record cut short has them', '# item: env\n# bytes: 12\n'],
  ['a digest that is cut', `${sha256.slice(1)}  a\n`],
  ['a digest without a name', `${sha256}  \n`],
  ['two archives', `${sha256}  a\n${sha256}  b\n`],
  ['other text', `hello\n${sha256}  a\n`],
  ['upper-case hex', `${sha256.toUpperCase()}  a\n`],
  ['the record of another item, with its name changed', `# item: ufw\n${sha256}  env-2026-11-24.tar.gz\n`],
  ['NUL bytes, as a crash leaves them', '\0'.repeat(300)],
])('%s is no record', (_, text) => {
  expect(readRecord(text)).toBeUndefined()
})

test('a record that names a million changed files is read in no time', () => {
  const before = cpuSeconds()
  const record = readRecord(`${'# changed: x\n'.repeat(1_000_000)}${sha256}  a.tar.gz\n`)
  expect(record?.changed?.length).toBe(1_000_000)
  expect(cpuSeconds() - before).toBeLessThan(10)
})

test.each([
  ['a comment that is not at the start of its line', `x # item: env\n${sha256}  a\n`],
  ['a digest that is not', `x${sha256}  a\n`],
  ['a name that ends in a carriage return', `${sha256}  a\r\n`],
])('%s makes no record', (_, text) => {
  expect(readRecord(text)).toBeUndefined()
})

test('comments that say nothing sound are passed over', () => {
  const read = readRecord(
    `# item: env\r\n# bytes: 12x\n# time: never\n# adopted: \n## host: x\n#  item: y\n${sha256}  a\n`,
  )
  expect(read).toEqual({ archive: 'a', sha256 })
  expect(Object.keys(read as object).sort()).toEqual(['archive', 'sha256'])
})
