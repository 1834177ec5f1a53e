import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { breachesIn, type Held, isCommit, ownerOf } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  layUserFiles,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

// Two different servers stand in for R2 and Hetzner, each with a key that the server denies all deletions.
let servers: { name: string; server: RealS3; owner: ReturnType<typeof ownerOf> }[]
let machines: TwoMachines
let env: Record<string, string>

beforeAll(async () => {
  machines = await buildTwoMachines()
  servers = await Promise.all(
    ['VersityGW', 'MinIO'].map(async (name) => {
      const server = (await realS3Servers[name]?.(bucketNames)) as RealS3
      return { name, server, owner: ownerOf(server) }
    }),
  )
  const [r2, hetzner] = servers.map(({ server }) => server)
  env = {
    ...storeSettings('R2', r2 as RealS3),
    ...storeSettings('HETZNER', hetzner as RealS3),
    ...layUserFiles(machines),
  }
})

afterAll(async () => {
  for (const { server, owner } of servers) {
    owner.close()
    await server.close()
  }
  await machines.dispose()
})

test('four days of both commands with keys that cannot delete: all done, and whatever was ever there stays as it was', {
  timeout: 900_000,
}, async () => {
  const { verda, writeOnMello, run } = machines
  verda.write('mnt/sfs/models/checkpoints/base.safetensors', randomBytes(300_000))
  verda.write('mnt/sfs/models/loras/large.safetensors', randomBytes(20_000_000))
  verda.write('home/dev/large.bin', randomBytes(20_000_000))
  const withoutImages = 'config,scripts,models'
  const seen = servers.map(() => new Map<string, Held & { sha256: string }>())
  const uploaded: string[] = []

  async function stepped(command: string, args: string[], now: string, status?: string) {
    const before = seen.map((objects) => objects.size)
    const { code, log, report } = await run(command, args, { ...env, BACKUP_NOW: now })
    expect(code, log).toBe(0)
    expect(log).not.toMatch(/FAILED|PROBLEM/)
    if (status) expect(report.items.map((item) => `${item.item} ${item.status}`)).toContain(status)
    await compareWithWhatWasSeen()
    uploaded.push(`${now} ${command} ${seen.map((objects, index) => objects.size - (before[index] ?? 0))}`)
  }

  async function compareWithWhatWasSeen() {
    for (const [index, { owner, name }] of servers.entries()) {
      const objects = seen[index] as Map<string, Held & { sha256: string }>
      for (const bucket of bucketNames) {
        const held = await owner.list(bucket)
        for (const [id, { sha256, ...was }] of objects) {
          if (!id.startsWith(`${bucket}/`)) continue
          expect(held.get(id.slice(bucket.length + 1)), `${id} on ${name}`).toEqual(was)
        }
        for (const [key, one] of held) {
          const id = `${bucket}/${key}`
          if (!objects.has(id)) objects.set(id, { ...one, sha256: await owner.sha256(bucket, key) })
        }
      }
    }
  }

  for (let day = 20; day < 24; day++) {
    const at = (hour: number) => `2026-11-${day}T${String(hour).padStart(2, '0')}:10:00Z`
    verda.write('home/dev/comfyume-v1/.env', `PASSWORD=pa$$word-of-user001\nDAY=${day}\n`, 0o600)
    writeOnMello(`home/dev/comfyume-v1/data/workflows/user001/day ${day}.json`, `{"day":${day}}`)
    machines.settle()
    await stepped('backup-verda', ['--only', 'config,scripts', '--to', 'r2'], at(2), 'env stored')
    await stepped('backup-mello', ['--only', 'user-data', '--to', 'r2'], at(3), 'user-data stored')
    await stepped('backup-mello', ['--only', 'user-data', '--to', 'r2'], at(4), 'user-data unchanged')
    verda.write('home/dev/notes.txt', `notes of ${day}, in the afternoon\n`)
    writeOnMello('home/dev/comfyume-v1/nginx/.htpasswd', `user001:$apr1$${day}\n`)
    if (day === 22) verda.write('mnt/sfs/models/vae/new.safetensors', randomBytes(100_000))
    machines.settle()
    // The day's name for the homes is taken: new content gets the hour's name, then the minute's.
    await stepped('backup-verda', ['--only', 'config,scripts', '--to', 'r2'], at(14), 'home-dev stored')
    verda.write('root/late.txt', `late on ${day}\n`)
    machines.settle()
    await stepped('backup-verda', ['--only', 'root-home', '--to', 'r2'], at(14).replace(':10:', ':20:'))
    await stepped(
      'backup-verda',
      ['--only', withoutImages],
      at(18),
      `models ${day === 20 || day === 22 ? 'stored' : 'unchanged'}`,
    )
    await stepped('backup-mello', [], at(19), 'credentials stored')
    await stepped('backup-verda', ['--only', withoutImages], at(20), 'home-dev unchanged')
  }

  for (const [index, { owner, name, server }] of servers.entries()) {
    const objects = seen[index] as Map<string, Held & { sha256: string }>
    for (const [id, { sha256 }] of objects) {
      const [bucket = '', ...rest] = id.split('/')
      expect(await owner.sha256(bucket, rest.join('/')), `${id} on ${name}`).toBe(sha256)
    }
    const log = await server.log()
    expect(breachesIn(log, bucketNames.length)).toEqual([])
    const commits = log.filter(isCommit).length
    expect(commits).toBe(objects.size)
    const count = (operation: RegExp) => log.filter((request) => operation.test(request.operation)).length
    console.info(
      `${name}: ${log.length} requests, ${commits} writes of as many keys, ${count(/delete|abort/i)} deletions; ` +
        `refused conditions (412): ${log.filter(({ status }) => status === 412).length}; ` +
        `${count(/Head/)} heads, ${count(/^Get/)} reads, ${count(/^List/)} lists`,
    )
  }
  console.info(`new objects a run (R2, Hetzner):\n${uploaded.join('\n')}`)
  expect([...(seen[0]?.keys() ?? [])]).toEqual([...(seen[1]?.keys() ?? [])])
})

test('what lies in the buckets and on Mello is good in the eyes of sha256sum and gzip', async () => {
  expect(checkByHand(machines.copies)).toEqual([])
  for (const { name, owner } of servers) {
    for (const bucket of bucketNames) {
      const folder = machines.home(`seen on ${name}/${bucket}`)
      await owner.download(bucket, folder)
      expect(checkByHand(folder), bucket).toEqual([])
    }
  }
})
