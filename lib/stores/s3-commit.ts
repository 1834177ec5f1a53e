import { type Connection, pause, type S3 } from './s3-client.ts'
import type { S3Failure } from './s3-failure.ts'
import { type Found, lookUp } from './s3-lookup.ts'
import { KeyExists } from './store.ts'

/**
 * Sends the request that gives a key its content, until it is known whether it did. An answer that is lost, a key that
 * is taken (412) or an upload that is gone (404 on a second try) may all mean that an earlier try had succeeded: then the
 * object is looked up, and `isOurs` decides. Throws KeyExists when it is somebody else's.
 */
export async function commit<T>(
  connection: Connection,
  key: string,
  ask: (s3: S3) => Promise<T>,
  isOurs: (found: Found) => boolean | Promise<boolean>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const failure = await connection.once(`store ${key}`, ask).then(
      () => undefined,
      (error: S3Failure) => error,
    )
    if (failure === undefined) return
    if (!failure.transient && failure.status !== 412 && failure.code !== 'NoSuchUpload') throw failure
    const found = await lookUp(connection, key)
    if (found !== undefined) {
      if (await isOurs(found)) return
      throw new KeyExists(connection.name, key, { cause: failure })
    }
    if (!failure.transient || attempt >= connection.patience.attempts) throw failure
    await pause(connection.patience, attempt)
  }
}
