import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { S3Store } from './s3.ts'
import { probeFolder } from './s3-condition.ts'
import { S3Failure } from './s3-failure.ts'
import { strangeAnswer } from './s3-read.ts'
import { KeyExists, StoreError } from './store.ts'

/**
 * What a server is asked to show before anybody relies on it. Nothing can be removed afterwards, so every probe has one object of a
 * fixed name and content, which is written once and read from then on.
 */

/** Two equal parts and a smaller last one, of the least size that servers take. */
export const multipartProbe = {
  key: `${probeFolder}multipart-probe`,
  partBytes: 5 * 2 ** 20,
  bytes: 11 * 2 ** 20,
}

/**
 * Creates the probe object in parts, as models are, unless it is there; then it is read whole and compared.
 * Throws a StoreError that says what the server did not do.
 */
export async function probeMultipart(store: S3Store): Promise<'created' | 'there'> {
  const { key, bytes } = multipartProbe
  const content = probeContent()
  try {
    await store.createFrom(key, { bytes, open: (from, to) => Readable.from([content.subarray(from, to)]) })
    return 'created'
  } catch (error) {
    if (!(error instanceof KeyExists)) throw error
  }
  const stored = await buffer(await store.open(key))
  if (stored.equals(content)) return 'there'
  throw new StoreError(
    `${store.name}: ${key} holds another content (${stored.length} bytes) than was written there. ` +
      'Somebody or something changed it: look who else has a key to this bucket, and lock it',
  )
}

/** Whether the server gives the end of the probe object, from within its second part on, when that is asked for. */
export async function probeRange(store: S3Store): Promise<boolean> {
  const from = 2 * multipartProbe.partBytes - 1000
  try {
    const stored = await buffer(await store.open(multipartProbe.key, from))
    return stored.equals(probeContent().subarray(from))
  } catch (error) {
    if (error instanceof S3Failure && error.code === strangeAnswer) return false
    throw error
  }
}

/** Bytes that no compressor and no deduplication makes smaller, the same on every machine. */
function probeContent(): Buffer {
  return createHash('shake256', { outputLength: multipartProbe.bytes })
    .update('comfyume-backup multipart probe')
    .digest()
}
