import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeRecord, readRecord } from '../../lib/record.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import type { VerifyReport } from '../../lib/verify/read.ts'
import { buildVerda, type Verda } from '../scripts/verda.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { ownerOf } from './buckets.ts'
import { bucketNames, storeSettings } from './two-machines.ts'

/** `STREAM_GB=20` needs three times that space in the temporary folder. */
const gigabytes = Number(process.env.STREAM_GB ?? 1)
const large = 'config/home-dev-2026-11-23.tar.gz'
const flipped = 'config/ufw-2026-11-23.tar.gz'
const orphan = 'config/env-2026-11-23.tar.gz'

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let verda: Verda
let env: Record<string, string>

beforeAll(async () => {
  verda = buildVerda()
  server = (await realS3Servers.MinIO?.(bucketNames)) as RealS3
  owner = ownerOf(server)
  env = storeSettings('R2', server)
})
afterAll(async () => {
  owner.close()
  await server.close()
  verda.dispose()
})

test(`${gigabytes} GB from a folder and from MinIO at once, with a key that cannot delete: all that is wrong is found, in less than 300 MB`, {
  timeout: 3_600_000,
}, async () => {
  const file = path.join(verda.cache, large)
  mkdirSync(path.dirname(file), { recursive: true })
  const random =
    'openssl enc -aes-128-ctr -nosalt -K "$1" -iv "$1" -in /dev/zero 2>/dev/null | head -c "$2" >"$3"'
  const key = '2b7e151628aed2a6abf7158809cf4f3c'
  execFileSync('bash', ['-c', random, 'bash', key, String(gigabytes * 1e9), file])
  const sha256 = execFileSync('sha256sum', [file]).toString().slice(0, 64)
  const record = makeRecord({ archive: path.basename(large), bytes: statSync(file).size, sha256 })
  writeFileSync(`${file}.sha256`, record)
  const store = openStore('r2', 'cache', readSettings({ ...verda.settings, ...env }, ['r2']))
  await store.create(large, createReadStream(file))
  await store.create(`${large}.sha256`, Readable.from([Buffer.from(record)]))
  const other = gzipSync('the right content')
  const otherRecord = `${createHash('sha256').update(other).digest('hex')}  ${path.basename(flipped)}\n`
  await owner.put(bucketNames[0] as string, flipped, gzipSync('the wrong content'))
  await owner.put(bucketNames[0] as string, `${flipped}.sha256`, Buffer.from(otherRecord))
  const tar = execFileSync('tar', ['-C', verda.root, '-czf', '-', 'home/dev/comfyume-v1/.env'])
  await owner.put(bucketNames[0] as string, orphan, tar)
  const before = (await server.log()).length

  let peak = 0
  let pid = 0
  const timer = setInterval(() => {
    peak = Math.max(peak, peakOf(pid))
  }, 100)
  const started = Date.now()
  const onStart = (started: number) => {
    pid = started
  }
  const { code, stdout, stderr } = await verda.script('verify', ['--json'], { env, onStart })
  clearInterval(timer)
  const seconds = (Date.now() - started) / 1000
  expect(code, stderr).toBe(1)
  const { checked } = JSON.parse(stdout) as VerifyReport
  expect(checked.map(({ store, key, status }) => `${store} ${key} ${status}`).sort()).toEqual(
    [`r2 ${orphan} unverified`, `r2 ${flipped} broken`, `r2 ${large} good`, `sfs ${large} good`].sort(),
  )
  expect(await written(before)).toEqual([theReport])
  console.info(
    `${gigabytes} GB twice in ${seconds.toFixed(1)} s, ${Math.round((gigabytes * 2000) / seconds)} MB/s; peak ${peak} MB`,
  )
  expect(peak).toBeGreaterThan(50)
  expect(peak).toBeLessThan(300)
})

test('the record of an orphan and the report are all that --adopt writes there', async () => {
  const before = (await server.log()).length
  const { code, stdout, stderr } = await verda.script('verify', ['--adopt', '--only', 'env', '--json'], {
    env,
  })
  expect(code, stderr).toBe(0)
  expect(JSON.parse(stdout).adopted).toHaveLength(1)
  expect(await written(before)).toEqual([`${orphan}.sha256`, theReport])
  const text = (await server.raw(bucketNames[0] as string, `${orphan}.sha256`)).toString()
  expect(readRecord(text)).toMatchObject({ archive: path.basename(orphan), item: 'env', host: 'verda' })
})

/** Verify writes its report to each store that it read. */
const theReport = expect.stringMatching(/^runs\/verify-2026-11-24-10-00-\d\d\.json$/)

/** The keys of all writing requests after the first `before`. */
async function written(before: number): Promise<string[]> {
  const requests = (await server.log()).slice(before)
  return requests.filter(({ operation }) => !/^(List|Get|Head)/.test(operation)).map(({ key }) => key)
}

/** In MB: a process's peak memory; 0 if it is gone or a zombie. */
function peakOf(pid: number): number {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0
    return Math.round((Number(kilobytes) * 1024) / 1e6)
  } catch {
    return 0
  }
}
