import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { copiesAmong, newestGood, readCopy } from '../../lib/copies.ts'
import { contentsOf } from '../../lib/status/judge/contents.ts'
import { expectedOf } from '../../lib/status/judge/expected.ts'
import { type S3Store, s3Store } from '../../lib/stores/s3/store.ts'
import { type Entry, StoreError } from '../../lib/stores/store.ts'
import { share, tries } from './tries.ts'

/** One answer of the server, as it goes over the wire. */
interface Answer {
  status: number
  headers: Record<string, string>
  body: Buffer
  /** Whether its length is told, truthfully. */
  sized?: boolean
  /** How the body comes: at once, cut off, without an end that comes, or again and again for ever. */
  how: 'whole' | 'cut' | 'silent' | 'endless' | 'slow for ever'
}

const now = new Date('2026-11-24T10:00:00Z')
const patience = { connectMs: 300, idleMs: 150, requestMs: 400, attempts: 2, backoffMs: 1, backoffMaxMs: 5 }
let server: Server
let answers: Answer[] = []
let requests = 0
const sockets = new Set<Socket>()

beforeAll(async () => {
  server = createServer((from, to) => {
    from.resume()
    const answer = answers[Math.min(requests++, answers.length - 1)] as Answer
    to.on('error', () => {})
    to.sendDate = false
    try {
      to.writeHead(answer.status, {
        ...answer.headers,
        ...(answer.sized && { 'content-length': answer.body.length }),
      })
    } catch {
      to.writeHead(answer.status)
    }
    if (answer.how === 'whole') to.end(answer.body)
    else if (answer.how === 'cut')
      to.write(answer.body.subarray(0, answer.body.length / 2), () => to.destroy())
    else if (answer.how === 'silent') to.write(answer.body)
    else if (answer.how === 'slow for ever') {
      const timer = setInterval(() => to.write(' '), 20)
      to.once('close', () => clearInterval(timer))
    } else {
      const piece = Buffer.alloc(1 << 20, '<Contents><Key>config/env-2026-11-24.tar.gz</Key></Contents>')
      const more = () => {
        while (!to.destroyed && to.write(piece));
      }
      to.on('drain', more)
      more()
    }
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => {
  for (const socket of sockets) socket.destroy()
  server.close()
})

function storeAt(prefix: string): S3Store {
  const { port } = server.address() as AddressInfo
  return s3Store({
    name: 'r2',
    endpoint: `http://127.0.0.1:${port}`,
    region: 'auto',
    bucket: 'backups',
    prefix,
    accessKeyId: 'id',
    secretAccessKey: 'very-secret',
    patience,
  })
}

const recordText = `# time: 2026-11-24T05:00:00Z\n# bytes: 10\n${'a'.repeat(64)}  env-2026-11-24.tar.gz\n`
const escaped = (value: string) => value.replace(/[<>&]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const key = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'config/env-2026-11-24.tar.gz',
      'config/env-2026-11-24.tar.gz.sha256',
      'config/env-2026-11-23-18.tar.gz',
      'config/env-extra-2026-11-24.tar.gz',
      'runs/backup-verda-2026-11-24-06-00-00.json',
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      '',
      '/',
      '../env-2026-11-24.tar.gz',
      'config/../../x',
      '/etc/passwd',
      'staging/config/env-2026-11-24.tar.gz',
      'config/env-2026-11-24.tar.gz\u0000',
      'con',
      '__proto__',
      'config/env-2026-11-24.tar.gz/',
      'probe/',
      '\u001b[2J',
    ),
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }) },
)
const number = fc.constantFrom(
  '0',
  '10',
  '-1',
  'NaN',
  '1e400',
  '9007199254740993',
  '0x10',
  '',
  ' 7 ',
  'ten',
  '&#49;',
)
const date = fc.constantFrom(
  '2026-11-24T05:00:00.000Z',
  'yesterday',
  '',
  '2026-02-30T00:00:00Z',
  '0000-00-00',
  '+275760-09-13T00:00:00.001Z',
)
const object = fc
  .record({
    key: fc.option(key),
    size: fc.option(number),
    date: fc.option(date),
    extra: fc.constantFrom(
      '',
      '<Key>second</Key>',
      '<Owner/>',
      '<ETag>&quot;x',
      '<!-- x -->',
      '<![CDATA[<Key>x</Key>]]>',
      '&lol;',
    ),
  })
  .map(
    (one) =>
      `<Contents>${one.key === null ? '' : `<Key>${escaped(one.key)}</Key>`}${one.size === null ? '' : `<Size>${one.size}</Size>`}${one.date === null ? '' : `<LastModified>${one.date}</LastModified>`}${one.extra}</Contents>`,
  )
const sound = key
  .filter((each) => /^(config|runs)\/[\w./-]+[a-z0-9]$/.test(each))
  .map(
    (each) =>
      `<Contents><Key>${each}</Key><Size>10</Size><LastModified>2026-11-24T05:00:00.000Z</LastModified></Contents>`,
  )
const listing = fc
  .record({
    objects: fc.oneof(
      fc.array(sound, { maxLength: 6 }),
      fc.array(object, { maxLength: 6 }),
      object.map((one) => Array(1200).fill(one)),
    ),
    truncated: fc.constantFrom(
      '<IsTruncated>false</IsTruncated>',
      '',
      '<IsTruncated>true</IsTruncated>',
      '<IsTruncated>maybe</IsTruncated>',
      '<IsTruncated>true</IsTruncated><IsTruncated>false</IsTruncated>',
    ),
    token: fc.constantFrom(
      '',
      '<NextContinuationToken>more</NextContinuationToken>',
      '<NextContinuationToken></NextContinuationToken>',
      '<NextContinuationToken>other</NextContinuationToken>',
    ),
    head: fc.constantFrom(
      '<?xml version="1.0" encoding="UTF-8"?>',
      '',
      '\uFEFF',
      '<!DOCTYPE x [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;">]>',
      '<!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>',
    ),
    root: fc.constantFrom(
      'ListBucketResult',
      'ListBucketResult',
      'ListBucketResult',
      'Error',
      'html',
      '__proto__',
    ),
  })
  .map(
    ({ objects, truncated, token, head, root }) =>
      `${head}<${root}>${truncated}${token}${objects.join('')}</${root}>`,
  )
const garbage = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(
    '',
    '{}',
    '[]',
    'null',
    '<',
    '<ListBucketResult>',
    '<ListBucketResult><Contents>',
    '</ListBucketResult>',
    '<Error><Code>\u001b[2JInternalError</Code><Message>very\nlong\u0007</Message></Error>',
    '<Error/>',
    '<Error><Code>RequestTimeTooSkewed</Code></Error>',
    '<Error><Code>NoSuchBucket</Code></Error>',
    recordText,
    recordText + '# changed: x\n'.repeat(1000),
    '<a>'.repeat(5000),
    '&#xffffffff;',
    '<ListBucketResult><Contents/><Contents/></ListBucketResult>',
  ),
)
const strange: fc.Arbitrary<Answer> = fc.record({
  sized: fc.boolean(),
  status: fc.oneof(
    { weight: 8, arbitrary: fc.constant(200) },
    { weight: 2, arbitrary: fc.constantFrom(204, 206, 301, 307, 400, 403, 404, 418, 500, 503) },
  ),
  headers: fc.constantFrom<Record<string, string>>(
    {},
    { 'content-type': 'application/xml' },
    { location: 'http://127.0.0.1:1/' },
    { 'content-length': '3' },
    { 'content-encoding': 'gzip' },
    { date: 'never' },
    { 'x-amz-bucket-region': '../..' },
  ),
  body: fc
    .oneof({ weight: 4, arbitrary: listing }, { weight: 1, arbitrary: garbage })
    .map((all) => Buffer.from(all)),
  how: fc.oneof(
    { weight: 12, arbitrary: fc.constant('whole' as const) },
    { weight: 1, arbitrary: fc.constantFrom('cut' as const, 'silent' as const) },
  ),
})

/** As a server answers that is in its right mind, two or three pages perhaps. */
const sane: fc.Arbitrary<Answer> = fc
  .tuple(
    fc.array(sound, { maxLength: 6 }),
    fc.constantFrom(
      '',
      '',
      '<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>',
    ),
  )
  .map(([objects, more]) => ({
    status: 200,
    headers: {},
    body: Buffer.from(`<ListBucketResult>${more}${objects.join('')}</ListBucketResult>`),
    how: 'whole' as const,
  }))
const whole = fc.oneof({ weight: 2, arbitrary: strange }, { weight: 1, arbitrary: sane })

/** Found by earlier runs of these tests. */
const answered = (body: string, more: Partial<Answer> = {}): Answer => ({
  status: 200,
  headers: {},
  body: Buffer.from(body),
  how: 'whole',
  ...more,
})
const listed = (inner: string) => answered(`<ListBucketResult>${inner}</ListBucketResult>`)
const listingExamples: [Answer[], string, string][] = [
  [[listed('<Contents></Contents>')], '', ''],
  [[listed('<Contents><Key>other/env</Key><Size>1</Size></Contents>')], 'config/env-', ''],
  [
    [listed('<Contents><Key>config/env-2026-11-24.tar.gz</Key><Size>-1</Size></Contents>')],
    'config/env-',
    '',
  ],
  // A page that leads to itself for ever, and one that leads nowhere.
  [[listed('<IsTruncated>true</IsTruncated><NextContinuationToken>more</NextContinuationToken>')], '', ''],
  [[listed('<IsTruncated>true</IsTruncated>')], '', ''],
  // A folder as consoles make it is no object of ours.
  [[listed('<Contents><Key>staging/</Key><Size>0</Size></Contents>')], '', 'staging/'],
  [
    [
      answered('<Error><Code>RequestTimeTooSkewed</Code></Error>', {
        status: 403,
        headers: { date: 'never' },
      }),
    ],
    '',
    '',
  ],
  [[answered('<Error><Code>\u001b[2J</Code><Message>a\u0007b</Message></Error>', { status: 400 })], '', ''],
]
// Without a length each answer seemed too short, or too long, and was asked for again for ever.
const recordExamples: [Answer[]][] = [
  [[answered(recordText)]],
  [[answered('x')]],
  [[answered(recordText, { sized: true })]],
]

/** What `use` comes to: its value, or the error, which must be one that names the store. */
async function heard<T>(use: () => Promise<T>): Promise<T | StoreError> {
  try {
    return await use()
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    expect(error.message).toMatch(/^r2 bucket backups: /)
    expect(error.message).not.toContain('very-secret')
    // What a server says goes to terminals and logs.
    expect(error.message).not.toMatch(/\p{Cc}/u)
    return error
  }
}

async function all(store: S3Store, prefix: string): Promise<Entry[]> {
  const entries: Entry[] = []
  for await (const entry of store.list(prefix)) entries.push(entry)
  return entries
}

test('whatever a server answers to a listing, it is a list of what was asked for, or an error that names the store', async () => {
  const outcomes = { listed: 0, refused: 0 }
  const expected = expectedOf('production', ['r2'])
  const prefixes = fc.constantFrom('', 'config/env-', 'config/env-2026-11-24.tar.gz')
  await fc.assert(
    fc.asyncProperty(
      fc.array(whole, { minLength: 1, maxLength: 3 }),
      prefixes,
      fc.constantFrom('', 'staging/'),
      async (script, prefix, folder) => {
        answers = script
        requests = 0
        const store = storeAt(folder)
        const found = await heard(() => all(store, prefix))
        expect(requests).toBeLessThan(20)
        await store.close()
        outcomes[found instanceof StoreError ? 'refused' : 'listed']++
        if (found instanceof StoreError) return
        for (const entry of found) {
          expect(entry.key.startsWith(prefix), entry.key).toBe(true)
          expect(entry.key).not.toBe('')
          expect(Number.isSafeInteger(entry.bytes) && entry.bytes >= 0, String(entry.bytes)).toBe(true)
          expect(entry.modified.getTime()).not.toBeNaN()
        }
        for (const copy of copiesAmong(found, 'config/', 'env'))
          expect(copy.key).toMatch(/^config\/env-20[\d-]+\.tar\.gz$/)
        contentsOf(
          { store: 'r2', bucket: 'cache', title: 'r2', state: 'seen', at: now, files: found, texts: {} },
          expected,
          'production',
        )
      },
    ),
    { ...tries(240), examples: listingExamples },
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(10))
})

const forRecord = fc.oneof(
  { weight: 3, arbitrary: strange },
  { weight: 1, arbitrary: fc.constant(answered(recordText, { sized: true })) },
)

test('whatever a server gives for a record, it is read, or called no record, or the store is named', async () => {
  const copy = copiesAmong(
    [
      { key: 'config/env-2026-11-24.tar.gz', bytes: 10, modified: new Date(0) },
      { key: 'config/env-2026-11-24.tar.gz.sha256', bytes: 90, modified: new Date(0) },
    ],
    'config/',
    'env',
  )[0]
  if (copy === undefined) throw new Error('no copy')
  const outcomes = { read: 0, none: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(forRecord, { minLength: 1, maxLength: 3 }), async (script) => {
      answers = script
      requests = 0
      const store = storeAt('')
      const known = await heard(() => readCopy(store, copy))
      outcomes[known === undefined ? 'none' : known instanceof StoreError ? 'refused' : 'read']++
      await heard(() => newestGood(store, [copy], now))
      await store.close()
      if (known !== undefined && !(known instanceof StoreError))
        expect(known.record.archive).toBe('env-2026-11-24.tar.gz')
    }),
    { ...tries(60), examples: recordExamples },
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(1))
})

test.each(['endless', 'slow for ever'] as const)(
  'a listing that is %s is given up, in bounded memory',
  async (how) => {
    answers = [{ status: 200, headers: { 'content-type': 'application/xml' }, body: Buffer.alloc(0), how }]
    requests = 0
    const store = storeAt('')
    const before = process.memoryUsage().rss
    expect(await heard(() => all(store, 'config/'))).toBeInstanceOf(StoreError)
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 2 ** 20)
    await store.close()
  },
  30_000,
)

test('a record without an end is given up, in bounded memory', async () => {
  answers = [{ status: 200, headers: {}, body: Buffer.alloc(0), how: 'endless' }]
  requests = 0
  const store = storeAt('')
  const copy = {
    key: 'config/env-2026-11-24.tar.gz',
    stamp: '2026-11-24' as never,
    bytes: 1,
    recordKey: 'config/env-2026-11-24.tar.gz.sha256',
  }
  expect(await heard(() => readCopy(store, copy))).toBeInstanceOf(StoreError)
  await store.close()
})
