import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type S3Store, s3Store } from '../../lib/stores/s3/store.ts'
import { KeyExists } from '../../lib/stores/store.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { failing, inPieces, keys, sha256, storeContract } from '../stores/contract.ts'

const mebibyte = 2 ** 20
const partBytes = 5 * mebibyte

describe.each(Object.entries(realS3Servers))('%s', (name, start) => {
  let server: RealS3
  const stores: S3Store[] = []

  function storeOn(bucket: string, options = {}): S3Store {
    const { endpoint, region, withoutDelete } = server
    const store = s3Store({ name: 'r2', endpoint, region, bucket, ...withoutDelete, partBytes, ...options })
    stores.push(store)
    return store
  }

  beforeAll(async () => {
    server = await start(['contract', 'large', 'resumed', 'limited'])
  })
  afterAll(async () => {
    for (const store of stores) await store.close()
    await server.close()
  })

  storeContract(name, async () => ({
    store: storeOn('contract'),
    raw: (key) => server.raw('contract', key),
    sizes: [partBytes],
  }))

  it('honours conditional writes', async () => {
    await storeOn('limited').probe()
  })

  it('honours the condition of a completion too, when the key was taken while the parts were sent', async () => {
    const { endpoint, region, withoutDelete } = server
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: withoutDelete })
    const target = { Bucket: 'limited', Key: 'completed' }
    const { UploadId } = await client.send(new CreateMultipartUploadCommand(target))
    const part = { ...target, UploadId, PartNumber: 1 }
    const { ETag } = await client.send(new UploadPartCommand({ ...part, Body: randomBytes(1000) }))
    await storeOn('limited').create('completed', inPieces(Buffer.from('first')))
    const completion = {
      ...target,
      UploadId,
      IfNoneMatch: '*',
      MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
    }
    await expect(client.send(new CompleteMultipartUploadCommand(completion))).rejects.toMatchObject({
      $metadata: { httpStatusCode: 412 },
    })
    expect(await server.raw('limited', 'completed')).toEqual(Buffer.from('first'))
    client.destroy()
  })

  it('takes a stream of many parts, and gives back every byte of it', async () => {
    const store = storeOn('large', { readBackBytes: 20 * mebibyte })
    const piece = randomBytes(mebibyte)
    const whole = createHash('sha256')
    function* pieces() {
      for (let count = 0; count < 203; count++) {
        piece.writeUInt32BE(count)
        whole.update(piece)
        yield Buffer.from(piece)
      }
    }
    const receipt = await store.create('stream', Readable.from(pieces()))
    expect(receipt).toEqual({ key: 'stream', bytes: 203 * mebibyte, sha256: whole.digest('hex') })
    const stored = createHash('sha256')
    for await (const chunk of await store.open('stream')) stored.update(chunk)
    expect(stored.digest('hex')).toBe(receipt.sha256)
  })

  it('resumes an unfinished upload from the parts that are there', async () => {
    const store = storeOn('resumed')
    const content = randomBytes(7.5 * partBytes)
    async function* broken() {
      yield content.subarray(0, 4.5 * partBytes)
      await new Promise((resolve) => setTimeout(resolve, 3000))
      throw new Error('killed')
    }
    const first = { bytes: content.length, open: () => Readable.from(broken()) }
    await expect(store.createFrom('models/x.safetensors', first)).rejects.toThrow('killed')
    expect(await keys(store, '')).toEqual([])
    const progress = { sent: 0, found: 0 }
    const onBytes = (bytes: number, how: 'sent' | 'found') => {
      progress[how] += bytes
    }
    const second = { bytes: content.length, open: () => inPieces(content) }
    await store.createFrom('models/x.safetensors', second, { onBytes })
    expect(progress).toEqual({ found: 4 * partBytes, sent: 3.5 * partBytes })
    expect(sha256(await server.raw('resumed', 'models/x.safetensors'))).toBe(sha256(content))
  })

  it('works with a key that may not delete, and its own log shows neither a deletion nor an overwrite', async () => {
    const { endpoint, region, withoutDelete } = server
    const store = storeOn('limited')
    await store.create('config/small', inPieces(randomBytes(1000)))
    await store.create('config/large', inPieces(randomBytes(2.5 * partBytes)))
    await expect(store.create('config/small', inPieces(randomBytes(1000)))).rejects.toThrow(KeyExists)
    await expect(store.create('config/broken', failing(1.5 * partBytes))).rejects.toThrow('tar died')

    const log = await server.log()
    expect(log.filter(({ key }) => key.includes('config/small')).length).toBeGreaterThan(1)
    expect(log.filter(({ operation }) => /delete|abort|remove|copy/i.test(operation))).toEqual([])
    const writes = log
      .filter(
        ({ operation, status }) => /^(PutObject|CompleteMultipartUpload)$/.test(operation) && status === 200,
      )
      .map(({ key }) => key)
    expect(writes).toEqual(expect.arrayContaining(['config/small', 'config/large']))
    for (const key of ['config/small', 'config/large'])
      expect(writes.filter((written) => written === key)).toHaveLength(1)

    // Tests the key itself: the server denies what this software never requests.
    const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: withoutDelete })
    await expect(
      client.send(new DeleteObjectCommand({ Bucket: 'limited', Key: 'config/small' })),
    ).rejects.toMatchObject({
      $metadata: { httpStatusCode: 403 },
    })
    client.destroy()
  })

  it('lists past 1,000 keys', async () => {
    const store = storeOn('limited', { concurrency: 1 })
    const names = Array.from(
      { length: 1100 },
      (_, index) => `list/${String((index * 7919) % 100_003).padStart(6, '0')}`,
    )
    for (let start = 0; start < names.length; start += 20) {
      await Promise.all(
        names.slice(start, start + 20).map((key) => store.create(key, inPieces(Buffer.from('x')))),
      )
    }
    expect(await keys(store, 'list/')).toEqual(names.toSorted())
  })
})
