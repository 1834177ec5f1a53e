import { createHash } from 'node:crypto'
import type { Connection } from './s3-client.ts'
import { S3Failure } from './s3-failure.ts'
import { lookUp } from './s3-lookup.ts'

/** Objects that are no backups: what was written to see whether a server can be relied on. */
export const probeFolder = '.comfyume-backup/'

/** Always the same few bytes, so that nothing is lost where it is overwritten. */
export const probeKey = `${probeFolder}conditional-write-probe`

const content = Buffer.from(
  'comfyume-backup writes this object twice to see that the server refuses the second time.\n',
)

/**
 * Whether the server honours `If-None-Match: *`, or would overwrite. One request where the probe object is there already, two the first
 * time.
 */
export async function honoursConditions(connection: Connection): Promise<boolean> {
  // When it was created just now, or overwritten, the second time tells.
  return (await isRefused(connection)) || (await isRefused(connection))
}

async function isRefused(connection: Connection): Promise<boolean> {
  try {
    await connection.request('test conditional writes', ({ client, sdk }) =>
      client.send(
        new sdk.PutObjectCommand({
          Bucket: connection.bucket,
          Key: connection.path(probeKey),
          Body: content,
          ContentLength: content.length,
          ContentMD5: createHash('md5').update(content).digest('base64'),
          IfNoneMatch: '*',
        }),
      ),
    )
    return false
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error
    if (error.status === 412) return true
    // A bucket lock may answer for the condition: what is there cannot be overwritten either.
    if (error.status === 403 && (await lookUp(connection, probeKey)) !== undefined) return true
    throw error
  }
}
