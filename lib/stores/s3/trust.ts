import { createHash } from 'node:crypto'
import { type Connection, setHeader, signedDigest } from './client.ts'
import { S3Failure } from './failure.ts'
import { lookUp } from './lookup.ts'

/** Small objects that test the server. They are not backups. */
export const probeFolder = '.comfyume-backup/'

/** The content is always the same, so overwriting it loses nothing. */
export const probeKey = `${probeFolder}conditional-write-probe`

const content = Buffer.from(
  'comfyume-backup writes this object twice to see that the server refuses the second time.\n',
)

/** Whether the server honours `If-None-Match: *`. One request if the probe object is there, otherwise two. */
export async function honoursConditions(connection: Connection): Promise<boolean> {
  // If the first write succeeded, the second one tells.
  return (await isRefused(connection)) || (await isRefused(connection))
}

async function isRefused(connection: Connection): Promise<boolean> {
  try {
    await putProbe(connection, probeKey)
    return false
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error
    if (error.status === 412) return true
    // A bucket lock may refuse first (403). It also prevents overwriting.
    if (error.status === 403 && (await lookUp(connection, probeKey)) !== undefined) return true
    throw error
  }
}

/**
 * Throws the server's refusal when nothing can be written. If the probe object is there, 403 can mean a lock
 * on it or a key that may not write. Then it creates a new object, which stays.
 */
export async function tryWrite(connection: Connection): Promise<void> {
  const refusal = await putProbe(connection, probeKey).then(
    () => undefined,
    (error: S3Failure) => error,
  )
  if (refusal === undefined || refusal.status === 412) return
  if (refusal.status !== 403 || (await lookUp(connection, probeKey)) === undefined) throw refusal
  const time = new Date().toISOString().slice(0, 19).replace(/[T:]/g, '-')
  await putProbe(connection, `${probeFolder}write-probe-${time}`)
}

/** Stores the probe's content, unless the key is taken. */
async function putProbe(connection: Connection, key: string): Promise<void> {
  await connection.request('write a small test object', ({ client, sdk }) =>
    client.send(
      new sdk.PutObjectCommand({
        Bucket: connection.bucket,
        Key: connection.path(key),
        Body: content,
        ContentLength: content.length,
        ContentMD5: createHash('md5').update(content).digest('base64'),
        IfNoneMatch: '*',
      }),
    ),
  )
}

/**
 * Whether the server refuses content that differs from the signed SHA-256, or from Content-MD5. A server that
 * accepts it stores the probe for good, and later calls find it there.
 */
export async function refusesDamage(connection: Connection, by: 'signature' | 'md5'): Promise<boolean> {
  const key = `${probeFolder}wrong-${by}-probe`
  if ((await lookUp(connection, key)) !== undefined) return false
  const content = Buffer.from(
    `comfyume-backup sends this with a wrong ${by}: no server should have kept it.\n`,
  )
  const other = (algorithm: string) => createHash(algorithm).update('something else')
  try {
    // No retries, because a refusal is the good answer.
    await connection.once('test what is damaged on the way', ({ client, sdk }) => {
      const command = new sdk.PutObjectCommand({
        Bucket: connection.bucket,
        Key: connection.path(key),
        Body: content,
        ContentLength: content.length,
        ContentMD5: by === 'md5' ? other('md5').digest('base64') : undefined,
        IfNoneMatch: '*',
      })
      if (by === 'signature') setHeader(command, signedDigest, other('sha256').digest('hex'))
      return client.send(command)
    })
    return false
  } catch (error) {
    if (error instanceof S3Failure && error.status === 400 && /Digest|MD5|SHA256/i.test(error.code))
      return true
    throw error
  }
}
