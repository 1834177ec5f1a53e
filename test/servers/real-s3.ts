import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { json } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { CreateBucketCommand, GetObjectCommand, PutBucketPolicyCommand, S3Client } from '@aws-sdk/client-s3'
import { execa } from 'execa'
import { signatureOf } from './s3-signature.ts'

/** A real S3 server in its own process, with empty buckets in a temporary folder. */
export interface RealS3 {
  endpoint: string
  region: string
  /** A key that may list, read and write; the server denies all deletions. */
  withoutDelete: Keys
  /** A key that may list and read, if the server supports temporary keys. */
  readOnly?: Keys
  /** A key that may do everything. */
  root: Keys
  /** A temporary key with its own policy, if the server supports it. */
  assume?(policy: object): Promise<Keys>
  raw(bucket: string, key: string): Promise<Buffer>
  /** The server's own log of requests so far, oldest first. */
  log(): Promise<RealRequest[]>
  close(): Promise<void>
}

export interface Keys {
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
}

export interface RealRequest {
  /** In the server's own terms: MinIO calls `UploadPart` `PutObjectPart`. */
  operation: string
  key: string
  status: number
  /** Size of the request's body and the answer's, if the server logs them (MinIO). */
  received?: number
  sent?: number
}

/** The servers built by .ci/install-s3. */
export const realS3Servers: Record<string, (buckets: string[]) => Promise<RealS3>> = {
  MinIO: startMinio,
  VersityGW: startVersityGateway,
}

const root: Keys = { accessKeyId: 'rootuser', secretAccessKey: 'root-password' }
const region = 'us-east-1'

/** Everything a backup needs; deletion and all else is denied. */
const actions = [
  's3:ListBucket',
  's3:GetObject',
  's3:PutObject',
  's3:ListBucketMultipartUploads',
  's3:ListMultipartUploadParts',
]

/** MinIO, which has temporary credentials with a list of actions, like R2. */
async function startMinio(buckets: string[]): Promise<RealS3> {
  const folder = await mkdtemp(path.join(tmpdir(), 'minio-'))
  const requests: RealRequest[] = []
  const audit = createHttpServer(async (request, response) => {
    const { api } = (await json(request)) as { api?: Audited }
    if (api?.name !== undefined) {
      requests.push({
        operation: api.name,
        key: api.object ?? '',
        status: api.statusCode ?? 0,
        received: api.rx ?? 0,
        sent: api.tx ?? 0,
      })
    }
    response.end()
  })
  await new Promise<void>((resolve) => audit.listen(0, '127.0.0.1', resolve))
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const console = `127.0.0.1:${await freePort()}`
  const server = await start(
    'minio',
    ['server', '--quiet', '--address', `127.0.0.1:${port}`, '--console-address', console, folder],
    {
      MINIO_ROOT_USER: root.accessKeyId,
      MINIO_ROOT_PASSWORD: root.secretAccessKey,
      MINIO_AUDIT_WEBHOOK_ENABLE_test: 'on',
      MINIO_AUDIT_WEBHOOK_ENDPOINT_test: `http://127.0.0.1:${(audit.address() as AddressInfo).port}`,
    },
  )
  await answering(`${endpoint}/minio/health/ready`, server)
  const client = clientOf(endpoint, root)
  for (const bucket of buckets) await client.send(new CreateBucketCommand({ Bucket: bucket }))
  return {
    endpoint,
    region,
    root,
    withoutDelete: await assumeRole(endpoint, port, everywhere(actions)),
    readOnly: await assumeRole(endpoint, port, everywhere(['s3:ListBucket', 's3:GetObject'])),
    assume: (policy) => assumeRole(endpoint, port, policy),
    async raw(bucket, key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      return Buffer.from((await Body?.transformToByteArray()) ?? [])
    },
    async log() {
      // The server sends its log in batches, with a delay.
      let seen = -1
      while (seen < requests.length) {
        seen = requests.length
        await sleep(2000)
      }
      return [...requests]
    },
    async close() {
      client.destroy()
      await stop(server)
      audit.closeAllConnections()
      audit.close()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

interface Audited {
  name?: string
  object?: string
  statusCode?: number
  rx?: number
  tx?: number
}

function everywhere(actions: readonly string[]): object {
  const statement = { Effect: 'Allow', Action: actions, Resource: ['arn:aws:s3:::*'] }
  return { Version: '2012-10-17', Statement: [statement] }
}

async function assumeRole(endpoint: string, port: number, policy: object): Promise<Keys> {
  const body = new URLSearchParams({
    Action: 'AssumeRole',
    Version: '2011-06-15',
    DurationSeconds: '86400',
    Policy: JSON.stringify(policy),
  }).toString()
  const now = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`
  const payload = createHash('sha256').update(body).digest('hex')
  const headers = { host: `127.0.0.1:${port}`, 'x-amz-content-sha256': payload, 'x-amz-date': now }
  const names = Object.keys(headers).sort()
  const scope = { day: now.slice(0, 8), region, service: 'sts' }
  const signature = signatureOf(
    { method: 'POST', url: '/', headers, payload },
    names,
    scope,
    root.secretAccessKey,
  )
  const ask = () =>
    fetch(endpoint, {
      method: 'POST',
      body,
      headers: {
        ...headers,
        'content-type': 'application/x-www-form-urlencoded',
        authorization:
          `AWS4-HMAC-SHA256 Credential=${root.accessKeyId}/${scope.day}/${region}/sts/aws4_request, ` +
          `SignedHeaders=${names.join(';')}, Signature=${signature}`,
      },
    })
  let text = ''
  // It reports ready slightly before it knows its users.
  for (let tries = 0; tries < 300; tries++) {
    text = await (await ask()).text()
    if (!text.includes('Server not initialized')) break
    await sleep(100)
  }
  const field = (name: string) => text.match(new RegExp(`<${name}>(.*?)</${name}>`))?.[1]
  const [accessKeyId, secretAccessKey, sessionToken] = ['AccessKeyId', 'SecretAccessKey', 'SessionToken'].map(
    field,
  )
  if (!accessKeyId || !secretAccessKey || !sessionToken) throw new Error(`MinIO gave no credentials: ${text}`)
  return { accessKeyId, secretAccessKey, sessionToken }
}

/** Stores objects as files, so tests can inspect them without the server. */
async function startVersityGateway(buckets: string[]): Promise<RealS3> {
  const folder = await mkdtemp(path.join(tmpdir(), 'versitygw-'))
  const at = (name: string) => path.join(folder, name)
  await mkdir(at('objects'))
  await mkdir(at('users'))
  const port = await freePort()
  const endpoint = `http://127.0.0.1:${port}`
  const server = await start(
    'versitygw',
    [
      '--port',
      `127.0.0.1:${port}`,
      '--quiet',
      '--access-log',
      at('log'),
      '--iam-dir',
      at('users'),
      'posix',
      at('objects'),
    ],
    { ROOT_ACCESS_KEY: root.accessKeyId, ROOT_SECRET_KEY: root.secretAccessKey },
  )
  await answering(endpoint, server)
  const withoutDelete: Keys = { accessKeyId: 'backup', secretAccessKey: 'backup-password' }
  const { accessKeyId: user, secretAccessKey: secret } = withoutDelete
  await execa(
    'versitygw',
    ['admin', '-er', endpoint, 'create-user', '-a', user, '-s', secret, '-r', 'user'],
    {
      env: { PATH: searchPath, ADMIN_ACCESS_KEY: root.accessKeyId, ADMIN_SECRET_KEY: root.secretAccessKey },
    },
  )
  const client = clientOf(endpoint, root)
  for (const bucket of buckets) {
    await client.send(new CreateBucketCommand({ Bucket: bucket }))
    const Resource = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`]
    const statement = actions.map((Action) => ({
      Effect: 'Allow',
      Principal: user,
      Action,
      Resource: Action.startsWith('s3:ListBucket') ? Resource[0] : Resource[1],
    }))
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: statement })
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }))
  }
  return {
    endpoint,
    region,
    root,
    withoutDelete,
    raw: (bucket, key) => readFile(path.join(at('objects'), bucket, key)),
    async log() {
      const lines = (await readFile(at('log'), 'utf8')).split('\n')
      return lines.flatMap((line) => {
        const found = line.match(/ s3_(\S+) (\S+) \S+ (\d{3}) /)
        return found ? [{ operation: found[1] ?? '', key: found[2] ?? '', status: Number(found[3]) }] : []
      })
    },
    async close() {
      client.destroy()
      await stop(server)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

const installed = path.resolve('.ci/cache/bin')
const searchPath = `${installed}:${process.env.PATH}`

async function start(name: string, args: string[], env: Record<string, string>): Promise<ChildProcess> {
  await access(path.join(installed, name)).catch(() => {
    throw new Error(`${name} is not in ${installed}: run .ci/install-s3 first`)
  })
  const server = spawn(path.join(installed, name), args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  // An interrupted test run must not leave it running.
  process.once('exit', () => server.kill('SIGKILL'))
  return server
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return
  const ended = new Promise((resolve) => server.once('exit', resolve))
  server.kill('SIGKILL')
  await ended
}

async function answering(url: string, server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    const status = await fetch(url).then(
      (answer) => answer.status,
      () => 0,
    )
    if (status > 0 && status < 500) return
    if (server.exitCode !== null)
      throw new Error(`${server.spawnfile} ended at once, with ${server.exitCode}`)
    await sleep(100)
  }
  throw new Error(`${server.spawnfile} did not answer at ${url} within 30 s`)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

function clientOf(endpoint: string, credentials: Keys): S3Client {
  process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'
  return new S3Client({ endpoint, region, forcePathStyle: true, credentials })
}
