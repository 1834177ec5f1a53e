import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Source } from '../../../lib/stores/s3/resume.ts'
import { KeyExists } from '../../../lib/stores/store.ts'
import type { S3Server } from '../../servers/s3-server.ts'
import { inPieces, sha256 } from '../contract.ts'
import { bench, partBytes } from '../s3-bench.ts'

const content = randomBytes(9.5 * partBytes)

function sourceOf(content: Buffer): Source {
  return { bytes: content.length, open: () => inPieces(content) }
}

/** A source that breaks in the middle, as a process that is killed does, when its whole parts have arrived. */
function brokenAt(bytes: number, content: Buffer, server: S3Server): Source {
  async function* pieces() {
    yield* inPieces(content.subarray(0, bytes))
    await vi.waitFor(() => expect(partsSent(server)).toHaveLength(Math.floor(bytes / partBytes)), 60_000)
    throw new Error('killed')
  }
  return { bytes: content.length, open: () => Readable.from(pieces()) }
}

function partsSent(server: S3Server): number[] {
  return server.log
    .filter(({ operation, status }) => operation === 'UploadPart' && status === 200)
    .map(({ query }) => Number(query.partNumber))
    .toSorted((a, b) => a - b)
}

describe('a large file', () => {
  it.each([0, 1, partBytes - 1, partBytes, partBytes + 1, 9.5 * partBytes])(
    'of %s bytes is stored whole',
    async (bytes) => {
      const { store, stored } = await bench()
      const file = content.subarray(0, bytes)
      let done = 0
      const onBytes = (bytes: number) => {
        done += bytes
      }
      const receipt = await store.createFrom('models/x', sourceOf(file), { onBytes })
      expect(receipt).toEqual({ key: 'models/x', bytes, sha256: sha256(file) })
      expect(await stored('models/x')).toBe(sha256(file))
      expect(done).toBe(bytes)
    },
  )

  it('goes on where it was broken off', async () => {
    const { server, store, another, stored } = await bench()
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow('killed')
    expect(partsSent(server)).toEqual([1, 2, 3, 4, 5, 6])
    expect(await stored('x')).toBe('nothing')
    const progress = { sent: 0, found: 0 }
    const onBytes = (bytes: number, how: 'sent' | 'found') => {
      progress[how] += bytes
    }
    const receipt = await another().createFrom('x', sourceOf(content), { onBytes })
    expect(receipt.sha256).toBe(sha256(content))
    expect(await stored('x')).toBe(sha256(content))
    expect(partsSent(server)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(progress).toEqual({ found: 6 * partBytes, sent: 3.5 * partBytes })
  })

  it('sends a part again when what lies there is not equal', async () => {
    const { server, store, stored } = await bench()
    const other = Buffer.from(content)
    other.fill(1, 2 * partBytes, 3 * partBytes)
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, other, server))).rejects.toThrow('killed')
    await store.createFrom('x', sourceOf(content))
    expect(await stored('x')).toBe(sha256(content))
    expect(partsSent(server)).toEqual([1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10])
  })

  it('sends all parts again when their size was another', async () => {
    const { server, store, another, stored } = await bench({ minPartBytes: 1 })
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow('killed')
    await another({ partBytes: 70_000 }).createFrom('x', sourceOf(content))
    expect(await stored('x')).toBe(sha256(content))
  })

  it('begins anew when the server has forgotten the unfinished upload', async () => {
    const { server, store, stored } = await bench()
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow('killed')
    server.expireUploads()
    await store.createFrom('x', sourceOf(content))
    expect(await stored('x')).toBe(sha256(content))
  })

  it("does not take up the upload of a key that only begins alike, nor leave another one's parts in", async () => {
    const { server, store, stored } = await bench()
    await expect(store.createFrom('x-large', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow(
      'killed',
    )
    const file = content.subarray(0, 2.5 * partBytes)
    await store.createFrom('x', sourceOf(file))
    expect(await stored('x')).toBe(sha256(file))
    expect(partsSent(server)).toHaveLength(6 + 3)
  })

  it('is recognised after the answer to the completion of a resumed upload was lost', async () => {
    const { server, store, another, stored } = await bench()
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow('killed')
    server.fail({ operation: 'CompleteMultipartUpload', how: 'lost answer' })
    await another().createFrom('x', sourceOf(content))
    expect(await stored('x')).toBe(sha256(content))
  })

  it('loses a race against other content, resumed or not', async () => {
    const { server, store, another, stored } = await bench()
    const theirs = randomBytes(content.length)
    await expect(store.createFrom('x', brokenAt(6.5 * partBytes, content, server))).rejects.toThrow('killed')
    const meanwhile = () => another().create('x', inPieces(theirs))
    server.fail({ operation: 'CompleteMultipartUpload', meanwhile })
    await expect(another().createFrom('x', sourceOf(content))).rejects.toThrow(KeyExists)
    expect(await stored('x')).toBe(sha256(theirs))
  })

  it.each([-1, 1])('that changed its size by %s while it was read is not stored', async (change) => {
    for (const bytes of [1000, content.length - 1]) {
      const { store, stored } = await bench()
      const file = content.subarray(0, bytes)
      const source = { bytes: bytes + change, open: () => inPieces(file) }
      await expect(store.createFrom('x', source)).rejects.toThrow(/changed while it was read.*run again/)
      expect(await stored('x')).toBe('nothing')
    }
  })

  it('is read once', async () => {
    const { store } = await bench()
    let asked = 0
    const folder = await mkdtemp(path.join(tmpdir(), 's3-read-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    await writeFile(path.join(folder, 'file'), content)
    const open = () => {
      asked++
      return createReadStream(path.join(folder, 'file'))
    }
    await store.createFrom('x', { bytes: content.length, open })
    expect(asked).toBe(1)
  })
})
