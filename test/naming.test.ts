import fc from 'fast-check'
import { describe, expect, it, test } from 'vitest'
import {
  archiveName,
  archiveOfRecord,
  compareStamps,
  ladder,
  makeStamp,
  readArchiveName,
  readRunReportName,
  readStamp,
  recordName,
  runReportName,
  type Stamp,
  type StampUnit,
  stampTime,
  stampUnit,
} from '../lib/naming.ts'

const stamp = (text: string): Stamp => {
  const read = readStamp(text)
  if (read === undefined) throw new Error(`${text} is no stamp`)
  return read
}

const units: StampUnit[] = ['day', 'hour', 'minute']
const anyUnit = fc.constantFrom(...units)
const anyTime = fc.date({
  min: new Date('2000-01-01T00:00:00Z'),
  max: new Date('2099-12-31T23:59:59.999Z'),
  noInvalidDate: true,
})
const anyStamp = fc.tuple(anyTime, anyUnit).map(([time, unit]) => makeStamp(time, unit))
/** Names that look like stamps, like each other, and like nothing in particular. */
const anyItem = fc.oneof(
  fc.constantFrom(
    'nginx',
    'nginx-extra',
    'app-2026',
    'x',
    'x-2026-11-24',
    'x-2026-11-24-10',
    'x-latest',
    'a.tar.gz',
  ),
  fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/),
  anyStamp,
  fc.tuple(fc.stringMatching(/^[a-z]{1,3}$/), anyStamp).map(([name, end]) => `${name}-${end}`),
)

describe('a stamp', () => {
  const time = new Date('2026-11-24T03:07:59.999Z')
  test.each<[StampUnit, string, string]>([
    ['day', '2026-11-24', '2026-11-24T00:00:00.000Z'],
    ['hour', '2026-11-24-03', '2026-11-24T03:00:00.000Z'],
    ['minute', '2026-11-24-03-07', '2026-11-24T03:07:00.000Z'],
  ])('of a %s is %s and begins at %s', (unit, text, start) => {
    const made = makeStamp(time, unit)
    expect(made).toBe(text)
    expect(readStamp(text)).toBe(made)
    expect(stampUnit(made)).toBe(unit)
    expect(stampTime(made).toISOString()).toBe(start)
  })

  test.each([
    '2000-01-01',
    '2099-12-31',
    '2024-02-29',
    '2000-02-29',
    '2026-04-30',
    '2026-12-31-23-59',
    '2026-01-01-00-00',
  ])('is read from %s', (text) => {
    expect(readStamp(text)).toBe(text)
  })

  test.each([
    ['a day that no February has', '2026-02-30'],
    ['29 February in a common year', '2026-02-29'],
    ['a 31st of April', '2026-04-31'],
    ['month 0', '2026-00-10'],
    ['month 13', '2026-13-01'],
    ['day 0', '2026-11-00'],
    ['day 32', '2026-12-32'],
    ['hour 24', '2026-11-24-24'],
    ['minute 60', '2026-11-24-23-60'],
    ['an hour past the last of 2099', '2099-12-31-24'],
    ['a month past the last of 2099', '2099-13-01'],
    ['the year 1999', '1999-12-31'],
    ['the year 2100', '2100-01-01'],
    ['a time to the second', '2026-11-24-10-30-00'],
    ['a year alone', '2026'],
    ['a month alone', '2026-11'],
    ['one digit', '2026-11-4'],
    ['other separators', '2026_11_24'],
    ['an ISO time', '2026-11-24T10:30'],
    ['a line feed at the end', '2026-11-24\n'],
    ['a space', ' 2026-11-24'],
    ['a sign', '+2026-11-24'],
    ['digits of another script', '２０２６-１１-２４'],
    ['nothing', ''],
  ])('is not %s', (_, text) => {
    expect(readStamp(text)).toBeUndefined()
  })

  it('is read as it was made, and names the period that holds its time', () => {
    const length = { day: 86_400_000, hour: 3_600_000, minute: 60_000 }
    fc.assert(
      fc.property(anyTime, anyUnit, (at, unit) => {
        const made = makeStamp(at, unit)
        expect(readStamp(made)).toBe(made)
        expect(stampUnit(made)).toBe(unit)
        const since = at.getTime() - stampTime(made).getTime()
        expect(since).toBeGreaterThanOrEqual(0)
        expect(since).toBeLessThan(length[unit])
      }),
    )
  })

  it.each([new Date('1999-12-31T23:59:59Z'), new Date('2100-01-01T00:00:00Z'), new Date(Number.NaN)])(
    'is not made of %s',
    (at) => {
      expect(() => makeStamp(at, 'day')).toThrow(RangeError)
      expect(() => runReportName('backup-cron', at)).toThrow(RangeError)
    },
  )
})

describe('the order of stamps', () => {
  it('is that of time, then the coarser first', () => {
    const ordered = [
      '2025-12-31-23-59',
      '2026-01-01',
      '2026-01-01-00',
      '2026-01-01-00-00',
      '2026-01-01-00-01',
      '2026-01-01-01',
      '2026-01-02',
      '2026-02-01',
    ].map(stamp)
    expect([...ordered].reverse().sort(compareStamps)).toEqual(ordered)
  })

  it('agrees with the times of any two', () => {
    /** Near to each other, so that many share a day or an hour. */
    const near = fc
      .tuple(fc.integer({ min: 0, max: 3000 }), anyUnit)
      .map(([minutes, unit]) => makeStamp(new Date(Date.UTC(2027, 11, 30) + minutes * 60_000), unit))
    const both = fc.oneof(fc.tuple(near, near), fc.tuple(anyStamp, anyStamp))
    fc.assert(
      fc.property(both, ([a, b]) => {
        const byTime = stampTime(a).getTime() - stampTime(b).getTime()
        const byUnit = units.indexOf(stampUnit(a)) - units.indexOf(stampUnit(b))
        expect(Math.sign(compareStamps(a, b))).toBe(Math.sign(byTime || byUnit))
      }),
      { numRuns: 2000 },
    )
  })
})

describe('an archive of an item', () => {
  test.each([
    ['comfyume-frontend', 'comfyume-frontend-2026-11-24.tar.gz', '2026-11-24'],
    ['home-dev', 'home-dev-2026-11-24-18.tar.gz', '2026-11-24-18'],
    ['user-data', 'user-data-2024-02-29-00-05.tar.gz', '2024-02-29-00-05'],
    ['app-2026', 'app-2026-2026-11-24.tar.gz', '2026-11-24'],
    ['x-2026-11-24', 'x-2026-11-24-2026-11-25.tar.gz', '2026-11-25'],
    ['x-latest', 'x-latest-2026-11-24.tar.gz', '2026-11-24'],
  ])('%s is named %s', (item, name, text) => {
    expect(archiveName(item, stamp(text))).toBe(name)
    expect(readArchiveName(item, name)).toEqual({ kind: 'dated', stamp: text })
  })

  test.each(['nginx', 'x-latest', 'app-2026'])('%s has an older name that tells no time', (item) => {
    expect(readArchiveName(item, `${item}-latest.tar.gz`)).toEqual({ kind: 'latest' })
  })

  test.each([
    ["another item's, which begins alike", 'nginx', 'nginx-extra-2026-11-24.tar.gz'],
    ["another item's, which ends alike", 'nginx', 'comfyume-nginx-2026-11-24.tar.gz'],
    ["another item's older one", 'nginx', 'nginx-extra-latest.tar.gz'],
    ['that of an item whose name ends in a year', 'app', 'app-2026-2026-11-24.tar.gz'],
    ['that of an item whose name ends in a date', 'x', 'x-2026-11-24-2026-11-25.tar.gz'],
    ['that of an item whose name ends in a date, the other way round', 'x-2026-11-24', 'x-2026-11-24.tar.gz'],
    ['that of an item whose name ends in a date, at an hour', 'x-2026-11-24', 'x-2026-11-24-10.tar.gz'],
    ['a record', 'env', 'env-2026-11-24.tar.gz.sha256'],
    ['a record that waits for its archive', 'env', 'env-2026-11-24.tar.gz.sha256.next'],
    ['an unfinished write', 'env', 'env-2026-11-24.tar.gz.partial'],
    ['a hidden unfinished write', 'env', '.env-2026-11-24.tar.gz'],
    ['a day that no calendar has', 'env', 'env-2026-02-30.tar.gz'],
    ['an hour that no day has', 'env', 'env-2026-11-24-24.tar.gz'],
    ['29 February of a common year', 'env', 'env-2025-02-29.tar.gz'],
    ['a path', 'env', 'config/env-2026-11-24.tar.gz'],
    ['a path in the item', 'config/env', 'config/env-2026-11-24.tar.gz'],
    ['upper case', 'env', 'ENV-2026-11-24.tar.gz'],
    ['upper case in the item', 'eNV', 'eNV-2026-11-24.tar.gz'],
    ['upper case at the end', 'env', 'env-2026-11-24.TAR.GZ'],
    ['upper case in latest', 'env', 'env-Latest.tar.gz'],
    ['another compression', 'env', 'env-2026-11-24.tar.zst'],
    ['no compression', 'env', 'env-2026-11-24.tar'],
    ['a copy by hand', 'env', 'env-2026-11-24 (1).tar.gz'],
    ['a copy by hand with a word', 'env', 'env-2026-11-24-old.tar.gz'],
    ['a copy of the older one', 'env', 'env-latest-1.tar.gz'],
    ['a line feed', 'env', 'env-2026-11-24.tar.gz\n'],
    ['no stamp', 'env', 'env.tar.gz'],
    ['an empty stamp', 'env', 'env-.tar.gz'],
    ['no dash', 'env', 'env2026-11-24.tar.gz'],
    ['nothing', 'env', ''],
    ['no item', '', '-2026-11-24.tar.gz'],
    ['an item that is a pattern', '.*', '.*-2026-11-24.tar.gz'],
  ])('is not %s', (_, item, file) => {
    expect(readArchiveName(item, file)).toBeUndefined()
  })

  test.each(['', '../env', 'config/env', 'Env', 'eNV', '.env', '-env', 'my env', 'env\n', 'é'])(
    'is not made for %j',
    (item) => {
      const make = () => archiveName(item, stamp('2026-11-24'))
      expect(make).toThrow(RangeError)
      expect(make).toThrow(`${JSON.stringify(item)} cannot be part of a file name`)
    },
  )

  it('is read as it was made', () => {
    fc.assert(
      fc.property(anyItem, anyStamp, (item, made) => {
        expect(readArchiveName(item, archiveName(item, made))).toEqual({ kind: 'dated', stamp: made })
      }),
      { numRuns: 1000 },
    )
  })

  it('is never taken for that of another item', () => {
    fc.assert(
      fc.property(anyItem, anyItem, anyStamp, (item, other, made) => {
        fc.pre(item !== other)
        expect(readArchiveName(other, archiveName(item, made))).toBeUndefined()
        expect(readArchiveName(other, `${item}-latest.tar.gz`)).toBeUndefined()
      }),
      { numRuns: 5000 },
    )
  })

  it('is not what is cut from, or added to, the name of one', () => {
    fc.assert(
      fc.property(anyItem, anyStamp, fc.nat(), fc.string({ minLength: 1 }), (item, made, at, junk) => {
        const name = archiveName(item, made)
        const cut = name.slice(0, at % name.length)
        expect(readArchiveName(item, cut)).toBeUndefined()
        expect(readArchiveName(item, name + junk)).toBeUndefined()
        expect(readArchiveName(item, junk + name)).toBeUndefined()
      }),
    )
  })
})

describe('a record', () => {
  test.each([
    ['env-2026-11-24.tar.gz', 'env-2026-11-24.tar.gz.sha256'],
    ['config/env-2026-11-24.tar.gz', 'config/env-2026-11-24.tar.gz.sha256'],
    ['checkpoints/SDXL base.safetensors', 'checkpoints/SDXL base.safetensors.sha256'],
  ])('of %s is %s', (archive, record) => {
    expect(recordName(archive)).toBe(record)
    expect(archiveOfRecord(record)).toBe(archive)
  })

  test.each([
    'env-2026-11-24.tar.gz',
    'env-2026-11-24.tar.gz.sha256.next',
    'env-2026-11-24.tar.gz.sha256.sha256',
    'env-2026-11-24.tar.gz.SHA256',
    'config/.sha256',
    '.sha256',
    '',
  ])('is not %j', (file) => {
    expect(archiveOfRecord(file)).toBeUndefined()
  })
})

describe('the ladder of names', () => {
  const now = new Date('2026-11-24T18:05:42Z')
  test.each<[StampUnit, string[]]>([
    ['day', ['env-2026-11-24.tar.gz', 'env-2026-11-24-18.tar.gz', 'env-2026-11-24-18-05.tar.gz']],
    ['hour', ['env-2026-11-24-18.tar.gz', 'env-2026-11-24-18-05.tar.gz']],
    ['minute', ['env-2026-11-24-18-05.tar.gz']],
  ])('from the %s up is %j', (base, names) => {
    const rungs = ladder('env', now, base)
    expect(rungs.map(({ name }) => name)).toEqual(names)
    for (const { stamp, name } of rungs)
      expect(readArchiveName('env', name)).toEqual({ kind: 'dated', stamp })
  })
})

describe("a run report's key", () => {
  it('tells the command and the second', () => {
    const key = runReportName('backup-cron', new Date('2026-11-24T03:07:09.500Z'))
    expect(key).toBe('runs/backup-cron-2026-11-24-03-07-09.json')
    expect(readRunReportName(key)).toEqual({ command: 'backup-cron', time: new Date('2026-11-24T03:07:09Z') })
  })

  it('is read as it was made', () => {
    fc.assert(
      fc.property(anyItem, anyTime, (command, at) => {
        const time = new Date(Math.floor(at.getTime() / 1000) * 1000)
        expect(readRunReportName(runReportName(command, at))).toEqual({ command, time })
      }),
    )
  })

  test.each([
    'runs/backup-cron-2026-02-30-03-07-09.json',
    'runs/backup-cron-2026-11-24-03-07-60.json',
    'runs/backup-cron-2099-12-31-23-59-60.json',
    'runs/backup-cron-2026-11-24-03-07.json',
    'runs/backup-cron-2026-11-24-03-07-09.json.sha256',
    'runs/2026-11-24-03-07-09.json',
    'runs/a/backup-cron-2026-11-24-03-07-09.json',
    'backup-cron-2026-11-24-03-07-09.json',
    'a/runs/backup-cron-2026-11-24-03-07-09.json',
    'runs/Backup-2026-11-24-03-07-09.json',
    '',
  ])('is not %j', (key) => {
    expect(readRunReportName(key)).toBeUndefined()
  })
})

it('no reader throws or is fooled, whatever the text', () => {
  const part = fc.constantFrom(
    '2026',
    '2099',
    '-',
    '12',
    '31',
    '24',
    '13',
    'latest',
    '.tar.gz',
    '.sha256',
    'env',
    '/',
    'runs/',
    '\n',
  )
  const almost = fc.array(part, { maxLength: 14 }).map((parts) => parts.join(''))
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), almost)
  fc.assert(
    fc.property(text, text, (a, b) => {
      const name = readArchiveName(a, b)
      if (name?.kind === 'dated') expect(archiveName(a, name.stamp)).toBe(b)
      const read = readStamp(a)
      if (read !== undefined) expect(makeStamp(stampTime(read), stampUnit(read))).toBe(a)
      const archive = archiveOfRecord(a)
      if (archive !== undefined) expect(recordName(archive)).toBe(a)
      const report = readRunReportName(a)
      if (report !== undefined) expect(runReportName(report.command, report.time)).toBe(a)
    }),
    { numRuns: 5000 },
  )
})
