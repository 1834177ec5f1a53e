import { createHash, randomBytes } from 'node:crypto'
import path from 'node:path'
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketPolicyCommand,
  PutObjectCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildWorkshop, cacheBucket, type Workshop } from '../scripts/workshop.ts'
import { policies } from '../security-page.ts'
import { type Keys, type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { bucketNames } from './two-machines.ts'

/** The two policies from SECURITY.md, on buckets with object lock, against an attacker with stolen keys. */
let server: RealS3
let workshop: Workshop
let owner: S3Client
let writer: S3Client
let reader: S3Client
let writing: Record<string, string>
let reading: Record<string, string>

const settings = ({ accessKeyId, secretAccessKey, sessionToken = '' }: Keys) => ({
  R2_ENDPOINT: server.endpoint,
  R2_ACCESS_KEY_ID: accessKeyId,
  R2_SECRET_ACCESS_KEY: secretAccessKey,
  R2_SESSION_TOKEN: sessionToken,
})
const clientOf = (credentials: Keys) => {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  const { endpoint, region } = server
  return new S3Client({ endpoint, region, forcePathStyle: true, credentials, maxAttempts: 1 })
}

beforeAll(async () => {
  server = (await realS3Servers.MinIO?.([])) as RealS3
  owner = clientOf(server.root)
  const rule = { DefaultRetention: { Mode: 'COMPLIANCE' as const, Days: 1 } }
  for (const Bucket of bucketNames) {
    await owner.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket: true }))
    const configuration = { ObjectLockEnabled: 'Enabled' as const, Rule: rule }
    await owner.send(
      new PutObjectLockConfigurationCommand({ Bucket, ObjectLockConfiguration: configuration }),
    )
  }
  const { write, read } = policies()
  const keys = [await server.assume?.(write), await server.assume?.(read)] as [Keys, Keys]
  ;[writer, reader] = keys.map(clientOf) as [S3Client, S3Client]
  writing = settings(keys[0])
  reading = settings(keys[1])
  workshop = await buildWorkshop()
  workshop.verda.write('home/dev/large.bin', randomBytes(20_000_000))
})
afterAll(async () => {
  for (const client of [owner, writer, reader]) client?.destroy()
  await workshop?.dispose()
  await server?.close()
})

const env = 'config/env-2026-11-24.tar.gz'

describe('the key that writes', () => {
  test('is enough for every backup, and for doctor', async () => {
    const { verda, backupVerda, backupMello } = workshop
    const runs = [
      await backupVerda(['--only', 'config,models,comfyume-admin', '--to', 'r2', '--json'], writing),
      await backupMello(['--only', 'user-data', '--json'], writing),
    ]
    // The same day again with other content: it gets the hour's name.
    verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=a new one, no shorter than before\n', 0o600)
    runs.push(await backupVerda(['--only', 'env', '--to', 'r2'], writing))
    expect(runs.map(({ code, stdout, stderr }) => (code === 0 ? 0 : stdout + stderr))).toEqual([0, 0, 0])
    const doctor = await verda.script('doctor', ['--on', 'mello', '--only', 'stores'], { env: writing })
    const lines = doctor.stdout
      .split('\n')
      .filter((line) => line.includes(' stores r2 ') || line.includes('comfyume-'))
    expect(lines.length).toBeGreaterThan(7)
    expect(lines.filter((line) => line.startsWith('WRONG'))).toEqual([])
  })

  test('deletes nothing, aborts nothing, and changes no bucket', async () => {
    const at = { Bucket: cacheBucket, Key: env }
    const { UploadId } = await writer.send(new CreateMultipartUploadCommand({ ...at, Key: 'unfinished' }))
    const { Versions = [] } = await owner.send(
      new ListObjectVersionsCommand({ Bucket: cacheBucket, Prefix: env }),
    )
    const VersionId = Versions.find(({ Key }) => Key === env)?.VersionId
    expect(VersionId).toBeDefined()
    const attempts = [
      new DeleteObjectCommand(at),
      new DeleteObjectCommand({ ...at, VersionId }),
      new DeleteObjectCommand({ ...at, VersionId, BypassGovernanceRetention: true }),
      new AbortMultipartUploadCommand({ ...at, Key: 'unfinished', UploadId }),
      new DeleteBucketCommand({ Bucket: cacheBucket }),
      new PutBucketPolicyCommand({
        Bucket: cacheBucket,
        Policy: JSON.stringify({ Version: '2012-10-17', Statement: [] }),
      }),
      new PutBucketLifecycleConfigurationCommand({
        Bucket: cacheBucket,
        LifecycleConfiguration: {
          Rules: [{ ID: 'x', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Days: 1 } }],
        },
      }),
      new PutObjectLockConfigurationCommand({
        Bucket: cacheBucket,
        ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled' },
      }),
    ]
    for (const attempt of attempts)
      await expect(writer.send(attempt as never), attempt.constructor.name).rejects.toMatchObject({
        $metadata: { httpStatusCode: 403 },
      })
    const many = new DeleteObjectsCommand({ Bucket: cacheBucket, Delete: { Objects: [{ Key: env }] } })
    const refused = await writer.send(many).then(
      ({ Errors = [] }) => Errors.length > 0,
      () => true,
    )
    expect(refused).toBe(true)
    expect((await owner.send(new GetObjectCommand(at))).ContentLength).toBeGreaterThan(50)
  })

  test('can overwrite, which no policy forbids: the older version stays, whoever asks, and verify calls the newer one broken', async () => {
    const at = { Bucket: cacheBucket, Key: env }
    const was = await (await owner.send(new GetObjectCommand(at))).Body?.transformToByteArray()
    const rubbish = Buffer.from('rubbish')
    const ContentMD5 = createHash('md5').update(rubbish).digest('base64')
    await writer.send(new PutObjectCommand({ ...at, Body: rubbish, ContentMD5 }))
    const verified = await workshop.verda.script('verify', ['--store', 'r2', '--only', 'env'], {
      env: reading,
    })
    expect(verified.code).toBe(1)
    expect(verified.stdout).toMatch(/BROKEN env <- r2: config\/env-2026-11-24\.tar\.gz/)
    const { Versions = [] } = await owner.send(
      new ListObjectVersionsCommand({ Bucket: cacheBucket, Prefix: env }),
    )
    const older = Versions.find(({ Key, IsLatest }) => Key === env && !IsLatest)?.VersionId
    await expect(owner.send(new DeleteObjectCommand({ ...at, VersionId: older }))).rejects.toThrow(
      /WORM|locked|retention/i,
    )
    const is = await (
      await owner.send(new GetObjectCommand({ ...at, VersionId: older }))
    ).Body?.transformToByteArray()
    expect(is).toEqual(was)
  })
})

describe('the key that reads', () => {
  test('is enough for restore, status and verify', async () => {
    const { verda } = workshop
    const to = path.join(verda.folder, 'drill')
    const all = ['--only', 'config,user-data', '--from', 'r2', '--yes', '--root', to]
    const restored = await verda.script('restore', [...all, '--json'], { env: reading })
    expect(restored.code, restored.stdout + restored.stderr).toBe(0)
    expect(
      (await verda.script('verify', ['--store', 'r2', '--only', 'home-dev,models'], { env: reading })).code,
    ).toBe(0)
    const listed = await verda.script('status', ['--list', 'r2'], { env: reading })
    expect(listed.code).toBe(0)
    expect(listed.stdout).toContain('home-dev-2026-11-24.tar.gz')
    const status = await verda.script('status', ['--stores', 'r2', '--json'], { env: reading })
    const { shelves } = JSON.parse(status.stdout)
    for (const shelf of shelves.filter(({ store }: { store: string }) => store === 'r2'))
      expect(shelf.state).toBe('seen')
  })

  test('writes nothing: a backup with it fails, and says why', async () => {
    const run = await workshop.backupVerda(['--only', 'ufw', '--to', 'r2'], {
      ...reading,
      BACKUP_NOW: '2026-11-25T10:00:00Z',
    })
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(/The access key may not do this in bucket comfyume-cache-backups/)
    const at = { Bucket: cacheBucket, Key: env }
    for (const attempt of [new PutObjectCommand({ ...at, Body: 'x' }), new DeleteObjectCommand(at)])
      await expect(reader.send(attempt as never)).rejects.toMatchObject({
        $metadata: { httpStatusCode: 403 },
      })
  })
})
