import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { expect, it, onTestFinished } from 'vitest'
import type { S3Server } from '../servers/s3-server.ts'
import { sha256 } from '../stores/contract.ts'
import { bench, bucket } from '../stores/s3-bench.ts'

function partsSent(server: S3Server): number[] {
  return server.log
    .filter(({ operation, status }) => operation === 'UploadPart' && status === 200)
    .map(({ query }) => Number(query.partNumber))
    .toSorted((a, b) => a - b)
}

it('is finished after three kills with hardly more bytes sent than it has', async () => {
  const part = 8 * 2 ** 20
  const { server, stored } = await bench({ minPartBytes: part })
  const folder = await mkdtemp(path.join(tmpdir(), 's3-kill-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = path.join(folder, 'model.safetensors')
  const model = randomBytes(20.3 * part)
  await writeFile(file, model)

  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const options = {
    name: 'r2',
    endpoint,
    region,
    accessKeyId,
    secretAccessKey,
    bucket,
    partBytes: part,
    concurrency: 3,
  }
  const script = `
    import { createReadStream } from 'node:fs'
    import { s3Store } from ${JSON.stringify(path.resolve('lib/stores/s3/store.ts'))}
    const store = s3Store(${JSON.stringify(options)})
    const open = () => createReadStream(${JSON.stringify(file)})
    await store.createFrom('model', { bytes: ${model.length}, open })
    await store.close()`
  const upload = () => execa('node', ['--import', 'tsx', '--input-type=module', '--eval', script])

  for (const parts of [4, 9, 15]) {
    const child = upload()
    while (partsSent(server).length < parts) await new Promise((resolve) => setTimeout(resolve, 1))
    child.kill('SIGKILL')
    await child.catch(() => {})
    expect(await stored('model')).toBe('nothing')
  }
  await upload()
  expect(await stored('model')).toBe(sha256(model))
  const bytesSent = server.log
    .filter(({ operation }) => operation === 'UploadPart')
    .reduce((sum, { bytes }) => sum + bytes, 0)
  expect(bytesSent).toBeLessThanOrEqual(model.length + 3 * 3 * part)
})
