import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { bucketNames, buildTwoMachines, storeSettings, type TwoMachines } from './two-machines.ts'

/** `STREAM_GB=20` needs three times that space in the temporary folder. */
const gigabytes = Number(process.env.STREAM_GB ?? 2)

let server: RealS3
let proxy: TcpProxy
let machines: TwoMachines

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.VersityGW?.(bucketNames)) as RealS3
  proxy = await startTcpProxy(Number(new URL(server.endpoint).port))
})

afterAll(async () => {
  await proxy.close()
  await server.close()
  await machines.dispose()
})

test(`an archive of ${gigabytes} GB from Verda to Mello and R2 in one pass takes less than 300 MB of memory`, {
  timeout: 3_600_000,
}, async () => {
  const file = path.join(machines.verda.root, 'home/dev/large.bin')
  mkdirSync(path.dirname(file), { recursive: true })
  // Incompressible data.
  const random =
    'openssl enc -aes-128-ctr -nosalt -K "$1" -iv "$1" -in /dev/zero 2>/dev/null | head -c "$2" >"$3"'
  execFileSync('bash', [
    '-c',
    random,
    'bash',
    '2b7e151628aed2a6abf7158809cf4f3c',
    String(gigabytes * 1e9),
    file,
  ])
  machines.settle()

  const began = Date.now()
  const running = machines.start(
    'backup-verda',
    ['--only', 'home-dev'],
    storeSettings('R2', server, proxy.port),
  )
  let peak = 0
  const curve: string[] = []
  const sample = () => {
    const { now, highest } = memoryOf(running.pid)
    peak = Math.max(peak, highest)
    const sent = proxy.sent() / 1e9
    if (sent >= (curve.length * gigabytes) / 16)
      curve.push(`${sent.toFixed(2).padStart(6)} GB ${Math.round((Date.now() - began) / 1000)} s ${now} MB`)
  }
  const timer = setInterval(sample, 100)
  const { code, log, item } = await running.ended.finally(() => clearInterval(timer))
  const seconds = (Date.now() - began) / 1000
  rmSync(file)

  expect(code, log).toBe(0)
  const { mello, r2 } = item('home-dev').stores
  expect(mello?.bytes).toBeGreaterThan(gigabytes * 1e9)
  expect(r2).toMatchObject({ bytes: mello?.bytes, sha256: mello?.sha256 })
  console.info(
    `${gigabytes} GB in ${Math.round(seconds)} s, ${Math.round((gigabytes * 1000) / seconds)} MB/s; peak ${peak} MB\n${curve.join('\n')}`,
  )
  expect(peak).toBeLessThan(300)
})

/** In MB: a process's memory now, and its peak as the kernel counted it. */
function memoryOf(pid: number): { now: number; highest: number } {
  const status = readStatus(pid)
  const megabytes = (name: string) =>
    Math.round((Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024) / 1e6)
  return { now: megabytes('VmRSS'), highest: megabytes('VmHWM') }
}

function readStatus(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8')
  } catch {
    return ''
  }
}
