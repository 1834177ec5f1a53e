import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { S3Store } from './s3.ts'
import type { Connection } from './s3-client.ts'
import { probeFolder } from './s3-condition.ts'
import { S3Failure } from './s3-failure.ts'
import { lookUp } from './s3-lookup.ts'
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

const wrongMd5Key = `${probeFolder}wrong-md5-probe`

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

/**
 * Whether the server refuses content that does not fit its Content-MD5. One that does not has stored it then: the
 * object is there ever after, and is the answer from then on.
 */
export async function refusesWrongMd5(connection: Connection): Promise<boolean> {
  if ((await lookUp(connection, wrongMd5Key)) !== undefined) return false
  const content = Buffer.from(
    'comfyume-backup sends this with a wrong Content-MD5: no server should have kept it.\n',
  )
  try {
    // Once: a refusal is what is hoped for, and no reason to try again.
    await connection.once('test Content-MD5', ({ client, sdk }) =>
      client.send(
        new sdk.PutObjectCommand({
          Bucket: connection.bucket,
          Key: connection.path(wrongMd5Key),
          Body: content,
          ContentLength: content.length,
          ContentMD5: createHash('md5').update('something else').digest('base64'),
          IfNoneMatch: '*',
        }),
      ),
    )
    return false
  } catch (error) {
    if (error instanceof S3Failure && error.status === 400 && /Digest|MD5/i.test(error.code)) return true
    throw error
  }
}

/** Bytes that no compressor and no deduplication makes smaller, the same on every machine. */
function probeContent(): Buffer {
  return createHash('shake256', { outputLength: multipartProbe.bytes })
    .update('comfyume-backup multipart probe')
    .digest()
}
