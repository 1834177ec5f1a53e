import { readFile } from 'node:fs/promises'
import * as sdk from '@aws-sdk/client-s3'
import { globby } from 'globby'
import { beforeEach, describe, expect, it } from 'vitest'
import { allowedOperations, guard } from '../../../lib/stores/s3/client.ts'
import { StoreError } from '../../../lib/stores/store.ts'

/** Requests that got past the guard; none leaves this process. */
let sent: string[]
let client: sdk.S3Client

beforeEach(() => {
  sent = []
  client = new sdk.S3Client({
    region: 'auto',
    endpoint: 'http://127.0.0.1:9',
    credentials: { accessKeyId: 'a', secretAccessKey: 's' },
    forcePathStyle: true,
    maxAttempts: 1,
    requestHandler: {
      async handle(request: { method: string }) {
        sent.push(request.method)
        throw new Error('sent')
      },
    },
  })
  guard(client, 'r2 bucket backups')
})

type Command = Parameters<sdk.S3Client['send']>[0]
const input = { Bucket: 'backups', Key: 'item', UploadId: 'u', PartNumber: 1, IfNoneMatch: '*' }
const commands = Object.entries(sdk).filter(([name]) => name.endsWith('Command') && name !== '$Command') as [
  string,
  new (input: object) => Command,
][]
const isAllowed = (name: string) => allowedOperations.some((operation) => name === `${operation}Command`)

describe('the guard of the S3 client', () => {
  it('knows the SDK: about a hundred commands, each allowed one among them', () => {
    expect(commands.length).toBeGreaterThan(90)
    expect(commands.filter(([name]) => isAllowed(name))).toHaveLength(allowedOperations.length)
  })

  it.each(commands.filter(([name]) => !isAllowed(name)))(
    'refuses %s before a byte is sent',
    async (_, Command) => {
      const error = await client.send(new Command(input)).catch((error) => error)
      expect(error).toBeInstanceOf(StoreError)
      expect(error.message).toMatch(/^r2 bucket backups: refused to send \w+: object stores are append-only$/)
      expect(sent).toEqual([])
    },
  )

  it.each(commands.filter(([name]) => isAllowed(name)))('lets %s pass', async (_, Command) => {
    await expect(client.send(new Command(input))).rejects.toThrow('sent')
    expect(sent).toHaveLength(1)
  })

  it.each([
    ['PutObject without a condition', new sdk.PutObjectCommand({ ...input, IfNoneMatch: undefined })],
    ['PutObject on another condition', new sdk.PutObjectCommand({ ...input, IfNoneMatch: '"etag"' })],
    [
      'PutObject over a known object',
      new sdk.PutObjectCommand({ ...input, IfNoneMatch: undefined, IfMatch: '"etag"' }),
    ],
    [
      'CompleteMultipartUpload without a condition',
      new sdk.CompleteMultipartUploadCommand({ ...input, IfNoneMatch: undefined }),
    ],
  ] as [string, Command][])('refuses %s', async (_, command) => {
    await expect(client.send(command)).rejects.toThrow(/refused to send \w+ without If-None-Match/)
    expect(sent).toEqual([])
  })

  it('refuses a DELETE request under whatever name', async () => {
    const command = new sdk.GetObjectCommand(input)
    command.middlewareStack.add(
      (next) => (args) => {
        Object.assign(args.request as object, { method: 'DELETE' })
        return next(args)
      },
      { step: 'build' },
    )
    await expect(client.send(command)).rejects.toThrow('refused to send a DELETE request')
    expect(sent).toEqual([])
  })
})

describe('the source', () => {
  const taking =
    /\b(Delete[A-Z]\w*|AbortMultipart\w*|CopyObject\w*|UploadPartCopy\w*|RenameObject\w*|Put(?!Object\b|ObjectCommand\b)[A-Z]\w*(Command)?)\b/

  it('names no operation that takes something away from an object store', async () => {
    const files = await globby(['demo/**/*.ts', 'lib/**/*.ts', 'scripts/**/*.ts'])
    expect(files).toContain('lib/stores/s3/store.ts')
    for (const file of files) expect(await readFile(file, 'utf8'), file).not.toMatch(taking)
  })

  it('loads the SDK in one place only, where the guard is put on', async () => {
    const files = await globby(['demo/**/*.ts', 'lib/**/*.ts', 'scripts/**/*.ts'])
    const loading: string[] = []
    for (const file of files) {
      const code = await readFile(file, 'utf8')
      if (/(?<!typeof )import\('@aws-sdk|^import (?!type).*'@aws-sdk/m.test(code)) loading.push(file)
    }
    expect(loading).toEqual(['lib/stores/s3/client.ts'])
    expect(await readFile('lib/stores/s3/client.ts', 'utf8')).toContain('guard(each')
  })
})
