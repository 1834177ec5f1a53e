import { randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { s3Store } from '../../../lib/stores/s3/store.ts'
import { KeyExists } from '../../../lib/stores/store.ts'
import { startS3Server } from '../../servers/s3-server.ts'
import { inPieces, keys, storeContract } from '../contract.ts'
import { bench, bucket, partBytes } from '../s3-bench.ts'

storeContract('an S3 server in this process', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 's3-contract-'))
  const server = await startS3Server({ folder, buckets: ['backups'], minPartBytes: 100_000 })
  const store = s3Store({ name: 'r2', ...server, bucket: 'backups', prefix: 'staging/', partBytes: 100_000 })
  return {
    store,
    raw: async (key) =>
      (await server.content('backups', `staging/${key}`)) ?? Promise.reject(new Error(`no ${key}`)),
    sizes: [100_000],
    async close() {
      await store.close()
      await server.close()
    },
  }
})

const isProbe = (key: string) => key.startsWith('.comfyume-backup/')

const small = randomBytes(1000)
const large = randomBytes(3.5 * partBytes)

describe('what is sent to an S3 server', () => {
  it('is conditional wherever a key gets its content, signed, checked, and not encoded', async () => {
    const { server, store } = await bench()
    await store.create('small', inPieces(small))
    await store.create('large', inPieces(large))
    for (const { operation, key, headers } of server.log) {
      const createsKey = ['PutObject', 'CreateMultipartUpload', 'CompleteMultipartUpload'].includes(operation)
      expect(headers['if-none-match'], operation).toBe(createsKey ? '*' : undefined)
      expect(headers['content-md5'] !== undefined, operation).toBe(operation === 'PutObject' && !isProbe(key))
      expect(headers['x-amz-content-sha256'], operation).toMatch(/^[0-9a-f]{64}$/)
      expect(headers['content-encoding'], operation).toBeUndefined()
      expect(headers['transfer-encoding'], operation).toBeUndefined()
      expect(headers.expect, operation).toBeUndefined()
      expect(Object.keys(headers).filter((name) => /checksum|trailer/.test(name))).toEqual([])
    }
  })

  it('has its MD5 with it, part by part, where the server takes what is not what was signed', async () => {
    const { server, store, another, operations } = await bench({ ignoresPayloadDigest: true })
    await store.create('large', inPieces(large))
    await another().create('another', inPieces(large))
    const sent = server.log.filter(({ operation }) => operation === 'UploadPart')
    expect(sent).toHaveLength(8)
    for (const { headers } of sent) expect(headers['content-md5']).toBeDefined()
    // The server was asked once, and keeps the answer.
    expect(server.log.filter(({ operation, key }) => operation === 'PutObject' && isProbe(key))).toHaveLength(
      1,
    )
    expect(operations().filter((operation) => operation === 'CompleteMultipartUpload')).toHaveLength(2)
  })

  it.each([403, 503])('has its MD5 with it where that cannot be found out (%d)', async (status) => {
    const { server, store } = await bench()
    server.fail({ operation: 'PutObject', how: status, times: 1 })
    await store.create('large', inPieces(large))
    expect(await server.content(bucket, 'large')).toEqual(large)
    for (const { operation, headers } of server.log)
      if (operation === 'UploadPart') expect(headers['content-md5']).toBeDefined()
  })

  it('tells who created an object, and the digest where it is known before', async () => {
    const { server, store } = await bench()
    const { sha256 } = await store.create('small', inPieces(small))
    await store.create('large', inPieces(large))
    const metadata = (operation: string, key: string) =>
      server.log.find((request) => request.operation === operation && request.key === key)?.headers
    expect(metadata('PutObject', 'small')).toMatchObject({
      'x-amz-meta-run-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      'x-amz-meta-sha256': sha256,
    })
    expect(metadata('CreateMultipartUpload', 'large')?.['x-amz-meta-run-id']).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('is cut into equal parts, sent several at once', async () => {
    const { server, store } = await bench()
    const waiting: (() => void)[] = []
    const twoAtOnce = () =>
      new Promise<void>((resolve) => {
        waiting.push(resolve)
        if (waiting.length === 2) for (const go of waiting) go()
      })
    server.fail({ operation: 'UploadPart', times: 2, meanwhile: twoAtOnce })
    await store.create('large', inPieces(large))
    const parts = server.log.filter(({ operation }) => operation === 'UploadPart')
    expect(parts.map(({ bytes }) => bytes).toSorted((a, b) => a - b)).toEqual([
      partBytes / 2,
      partBytes,
      partBytes,
      partBytes,
    ])
  })

  it('goes without the condition on creating an upload where a server does not know it there', async () => {
    const { server, store, another } = await bench({ refusesConditionalCreation: true })
    await store.create('large', inPieces(large))
    const rival = {
      operation: 'CompleteMultipartUpload',
      meanwhile: () => another().create('taken', inPieces(small)),
    }
    server.fail(rival)
    await expect(store.create('taken', inPieces(large))).rejects.toThrow(KeyExists)
    expect(await server.content(bucket, 'taken')).toEqual(small)
  })

  it('stops before the parts when the key is taken while the upload is created', async () => {
    const { server, store, another, operations } = await bench()
    const rival = () => another().create('taken', inPieces(small))
    server.fail({ operation: 'CreateMultipartUpload', meanwhile: rival })
    await expect(store.create('taken', inPieces(large))).rejects.toThrow(KeyExists)
    expect(operations()).not.toContain('UploadPart')
  })
})

describe('a long list', () => {
  it('is whole and in order past the 1,000 keys of one answer', async () => {
    const { server, store, operations } = await bench()
    const names = Array.from({ length: 2345 }, (_, index) => `list/${String(index * 7919).padStart(9, '0')}`)
    for (const name of names) await server.put(bucket, name, small)
    expect(await keys(store, 'list/')).toEqual(names.toSorted())
    expect(operations().filter((operation) => operation === 'ListObjectsV2')).toHaveLength(3)
  })
})
