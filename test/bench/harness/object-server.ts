import { CreateBucketCommand, DeleteBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { buckets } from '../../../lib/inventory.ts'
import { setHeader } from '../../../lib/stores/s3/client.ts'
import { ownerOf } from '../../real/buckets.ts'
import { type RealS3, realS3Servers } from '../../servers/real-s3.ts'
import type { Weight } from './race.ts'

export type ObjectServer = Awaited<ReturnType<typeof startObjectServer>>

/** A real S3 server (MinIO) with settings for this project and others, and a fresh bucket for every run. */
export async function startObjectServer() {
  const server = (await realS3Servers.MinIO?.([])) as RealS3
  const { endpoint, region, root } = server
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: root })
  const owner = ownerOf(server)
  let before = { received: 0, sent: 0 }

  /** Bytes received and sent, by the server's count. */
  async function traffic() {
    const requests = await server.log()
    const sum = (of: 'received' | 'sent') =>
      requests.reduce((total, request) => total + (request[of] ?? 0), 0)
    return { received: sum('received'), sent: sum('sent') }
  }

  return {
    endpoint,
    close: () => {
      client.destroy()
      owner.close()
      return server.close()
    },

    /** Makes an empty bucket; `counted`: starts to count its traffic. */
    async fresh(bucket: string, counted = false): Promise<void> {
      await client.send(new CreateBucketCommand({ Bucket: bucket }))
      if (counted) before = await traffic()
    },

    /** Counts traffic from here on. */
    async count(): Promise<void> {
      before = await traffic()
    },

    /** A bucket's size, and the traffic that filled it. */
    async weigh(bucket: string): Promise<Weight> {
      const objects = await owner.list(bucket)
      const { received } = await traffic()
      return {
        storedBytes: [...objects.values()].reduce((sum, { bytes }) => sum + bytes, 0),
        sentBytes: received - before.received,
      }
    },

    /** Removes a bucket with its content. */
    async drop(bucket: string): Promise<void> {
      const command = new DeleteBucketCommand({ Bucket: bucket })
      setHeader(command, 'x-minio-force-delete', 'true')
      await client.send(command)
    },

    /** This project's settings, with one bucket for all. `prefix`: R2 or HETZNER; `at`: the endpoint. */
    settings: (prefix: 'R2' | 'HETZNER', bucket: string, at = endpoint): Record<string, string> => ({
      [`${prefix}_ENDPOINT`]: at,
      [`${prefix}_ACCESS_KEY_ID`]: root.accessKeyId,
      [`${prefix}_SECRET_ACCESS_KEY`]: root.secretAccessKey,
      // Both object stores use the same bucket settings.
      ...Object.fromEntries(Object.values(buckets).map(({ setting }) => [setting, bucket])),
    }),

    /** Settings for the other tools: S3 is the endpoint, `s3:` rclone's remote. */
    env: (at = endpoint) => ({
      S3: at,
      AWS_ACCESS_KEY_ID: root.accessKeyId,
      AWS_SECRET_ACCESS_KEY: root.secretAccessKey,
      AWS_DEFAULT_REGION: region,
      AWS_REGION: region,
      AWS_EC2_METADATA_DISABLED: 'true',
      RCLONE_CONFIG: '/dev/null',
      RCLONE_CONFIG_S3_TYPE: 's3',
      RCLONE_CONFIG_S3_PROVIDER: 'Minio',
      RCLONE_CONFIG_S3_ENDPOINT: at,
      RCLONE_CONFIG_S3_REGION: region,
      RCLONE_CONFIG_S3_ACCESS_KEY_ID: root.accessKeyId,
      RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: root.secretAccessKey,
    }),
  }
}
