import { createHash } from 'node:crypto'
import type { Connection } from './s3-client.ts'
import { probeFolder } from './s3-condition.ts'
import { S3Failure } from './s3-failure.ts'
import { setHeader, signedDigest } from './s3-header.ts'
import { lookUp } from './s3-lookup.ts'

/**
 * Whether the server refuses content that is not what was signed (its SHA-256), or not what the Content-MD5 says. A server that does not has
 * stored the probe then: it is there ever after, and is the answer from then on. One request that stores nothing, where it does.
 */
export async function refusesDamage(connection: Connection, by: 'signature' | 'md5'): Promise<boolean> {
  const key = `${probeFolder}wrong-${by}-probe`
  if ((await lookUp(connection, key)) !== undefined) return false
  const content = Buffer.from(
    `comfyume-backup sends this with a wrong ${by}: no server should have kept it.\n`,
  )
  const other = (algorithm: string) => createHash(algorithm).update('something else')
  try {
    // Once: a refusal is what is hoped for, and no reason to try again.
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
