import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { processesOf } from '../hosts/processes.ts'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { breachesIn, ownerOf } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

const kills = 10
const seed = Number(process.env.KILL_SEED ?? 20_261_124)

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let proxy: TcpProxy
let machines: TwoMachines
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.VersityGW?.(bucketNames)) as RealS3
  owner = ownerOf(server)
  proxy = await startTcpProxy(Number(new URL(server.endpoint).port))
  env = storeSettings('R2', server, proxy.port)
})

afterAll(async () => {
  await proxy.close()
  owner.close()
  await server.close()
  await machines.dispose()
})

test(`killed at ${kills} random moments, a run completes each time after; no archive without content, every record verifies`, {
  timeout: 900_000,
}, async () => {
  const { verda, settle, start, run, copies } = machines
  const args = ['--only', 'config,scripts,models']
  const at = (hour: number, minute = 0) => ({
    ...env,
    BACKUP_NOW: new Date(Date.UTC(2026, 10, 24, hour, minute)).toISOString(),
  })
  function change(round: number) {
    verda.write('home/dev/comfyume-v1/.env', `PASSWORD=${round}\n`, 0o600)
    verda.write('home/dev/large.bin', randomBytes(30_000_000))
    verda.write('root/notes.txt', `round ${round}\n`)
    verda.write(`mnt/sfs/models/loras/${round}.safetensors`, randomBytes(20_000_000))
    settle()
  }
  // The first run stores everything; the second is like the runs to be killed.
  let [duration, bytes] = [0, 0]
  for (const minute of [0, 30]) {
    change(minute)
    const [began, before] = [Date.now(), proxy.sent()]
    const whole = await run('backup-verda', args, at(0, minute))
    expect(whole.code, whole.log).toBe(0)
    duration = Date.now() - began
    bytes = proxy.sent() - before
  }

  const random = randomFrom(seed)
  const moments: string[] = []
  for (let round = 1; round <= kills; round++) {
    change(round)
    const running = start('backup-verda', args, at(round))
    // By time and by bytes sent in turns: a busy machine upsets the time, and small items send little.
    const part = random()
    const moment = round % 2 ? proxy.sentMore(part * bytes) : sleep(part * duration)
    await Promise.race([moment, running.ended])
    await running.kill()
    const { code } = await running.ended
    // Its processes on Verda end by themselves.
    await expect.poll(() => processesOf(verda.root), { timeout: 20_000 }).toEqual([])
    const after = await run('backup-verda', args, at(round, 30))
    expect(after.code, `round ${round}, killed at ${part}: ${after.log}`).toBe(0)
    const stored = after.report.items.filter(({ status }) => status === 'stored').length
    moments.push(
      `${(100 * part).toFixed()} % of its ${round % 2 ? 'bytes' : 'time'}${code === null ? '' : ', too late'}: ${stored} items left`,
    )
    const settled = await run('backup-verda', args, at(round, 45))
    expect(new Set(settled.report.items.map(({ status }) => status)), settled.log).toEqual(
      new Set(['unchanged', 'skipped']),
    )
  }
  console.info(`seed ${seed}; killed after\n${moments.join('\n')}`)

  expect(checkByHand(copies)).toEqual([])
  expect(readdirSync(`${copies}/config`).filter((name) => name.startsWith('.'))).toEqual([])
  for (const bucket of bucketNames) {
    const folder = machines.home(`seen/${bucket}`)
    mkdirSync(folder, { recursive: true })
    await owner.download(bucket, folder)
    expect(checkByHand(folder), bucket).toEqual([])
    if (bucket.includes('model')) expect(readdirSync(`${folder}/loras`).length).toBeGreaterThan(kills)
  }
  expect(breachesIn(await server.log(), bucketNames.length)).toEqual([])
})

/** Pseudo-random numbers from 0 to 1; the same seed gives the same ones (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
