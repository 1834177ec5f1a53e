import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { failureOf } from '../../../lib/stores/s3/failure.ts'
import type { S3Store } from '../../../lib/stores/s3/store.ts'
import { StoreError } from '../../../lib/stores/store.ts'
import { inPieces, keys } from '../contract.ts'
import { bench } from '../s3-bench.ts'

const content = Buffer.from('content')

/** Every way into a store. */
const ways: [string, (store: S3Store) => Promise<unknown>][] = [
  ['probe', (store) => store.probe()],
  ['look', (store) => store.look()],
  ['list', (store) => keys(store, '')],
  ['open', (store) => store.open('item')],
  ['create', (store) => store.create('item', inPieces(content))],
  ['createFrom', (store) => store.createFrom('item', { bytes: 7, open: () => inPieces(content) })],
]

const wrong = [
  ['a wrong key', { accessKeyId: 'AKWRONG' }, {}, /403 InvalidAccessKeyId.*check R2_ACCESS_KEY_ID/],
  [
    'a wrong secret',
    { secretAccessKey: 'other-secret' },
    {},
    /403 SignatureDoesNotMatch.*check R2_SECRET_ACCESS_KEY/,
  ],
  [
    'a wrong bucket',
    { bucket: 'nothing-here' },
    {},
    /There is no bucket nothing-here at 127\.0\.0\.1.*created by hand/,
  ],
  [
    'a clock an hour behind',
    {},
    { clockAheadMs: 3_600_000 },
    /RequestTimeTooSkewed.*clocks differ: this machine says 20.*Z, the server 20.*Z\. Set this machine's clock/,
  ],
  [
    'a server that is not there',
    { endpoint: 'http://127.0.0.1:9' },
    {},
    /ECONNREFUSED.*127\.0\.0\.1 does not answer: check the network and R2_ENDPOINT/,
  ],
  [
    'a host that is not there',
    { endpoint: 'http://no-such-host.invalid' },
    {},
    /(ENOTFOUND|EAI_AGAIN).*no-such-host\.invalid/,
  ],
] as const

describe.each(wrong)('%s', (_, options, serverOptions, message) => {
  it.each(ways)('%s says what is wrong and what to do', async (_, use) => {
    const { another, server } = await bench(serverOptions)
    const printed = vi.spyOn(console, 'warn')
    onTestFinished(() => printed.mockRestore())
    const error = await use(another(options)).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(StoreError)
    expect(printed).not.toHaveBeenCalled()
    const { message: said, stack, cause } = error as StoreError
    expect(said).toMatch(message)
    expect(said).toMatch(/^r2 bucket (backups|nothing-here): could not /)
    expect(said).not.toContain('\n')
    for (const secret of [server.secretAccessKey, 'other-secret'])
      expect(`${said}${stack}`).not.toContain(secret)
    expect(stack).not.toMatch(/@aws-sdk|@smithy/)
    expect(cause).toBeUndefined()
  })
})

describe('the message about a failed request', () => {
  const r2 = 'https://0123.r2.cloudflarestorage.com'
  const eu = 'https://0123.eu.r2.cloudflarestorage.com'
  const denied = { Code: 'AccessDenied', $metadata: { httpStatusCode: 403 } }
  const noBucket = { Code: 'NoSuchBucket', $metadata: { httpStatusCode: 404 } }

  it.each([
    [
      '403 without .eu',
      denied,
      r2,
      /has no \.eu: .* https:\/\/0123\.eu\.r2\.cloudflarestorage\.com\. Set R2_ENDPOINT/,
    ],
    ['404 without .eu', noBucket, r2, /has no \.eu/],
    ['403 with .eu', denied, eu, /Object Read & Write .* or check the bucket's locks$/],
    ['404 with .eu', noBucket, eu, /There is no bucket backups at 0123\.eu\.r2/],
    ['403 elsewhere', denied, 'https://fsn1.your-objectstorage.com', /may not do this in bucket backups/],
    [
      'a page in the place of an answer',
      { $metadata: { httpStatusCode: 502 }, message: '<html>\nbad gateway' },
      eu,
      /502.*Later, run again: /,
    ],
    [
      'a certificate that is not accepted',
      { code: 'CERT_HAS_EXPIRED', message: 'certificate has expired' },
      eu,
      /certificate of 0123\.eu/,
    ],
  ])('%s', (_, error, endpoint, message) => {
    const place = { name: 'r2 bucket backups', label: 'r2', endpoint, bucket: 'backups' }
    const failure = failureOf(Object.assign(new Error(''), error), place, 'list it')
    expect(failure.message).toMatch(/^r2 bucket backups: could not list it: /)
    expect(failure.message).toMatch(message)
    expect(failure.message).not.toContain('\n')
  })
})
