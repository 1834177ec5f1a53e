import path from 'node:path'
import type { Comparison, Table } from '../harness/comparison.ts'
import { layNoise } from '../harness/data.ts'
import { openLink } from '../harness/link.ts'
import { type ObjectServer, startObjectServer } from '../harness/object-server.ts'
import { race, type Way } from '../harness/race.ts'
import { bytesIn, openSite, type Site } from '../harness/site.ts'

const base = 'rclone copy'
const bucket = 'bench'
const count = 4

export const models: Comparison = {
  name: 'models',
  title: 'many large files to an S3 server',
  run: (options) => nearAndFar('models', options, uploads, oursUp),
}

export const modelsRestore: Comparison = {
  name: 'models-restore',
  title: 'many large files from an S3 server',
  run: (options) => nearAndFar('models-restore', options, downloads, oursDown),
}

/** What a run needs: the models' folder and the server's address. */
interface Course {
  site: Site
  models: string
  server: ObjectServer
  endpoint: string
  rounds: number
  say(text: string): void
}

/** A typical line to R2. */
const link = { bytesPerSecond: 50e6, delayMs: 20 }
const linkInWords = 'over a line of 50 MB/s and 40 ms'

/** Once to a server next door, where processing decides, and once over a line. */
async function nearAndFar(
  name: string,
  { gigabytes, rounds, folder, say }: Parameters<Comparison['run']>[0],
  contest: (course: Course) => Promise<Table['rows']>,
  note: string,
) {
  const server = await startObjectServer()
  const line = await openLink(server.endpoint, link)
  const tables: Table[] = []
  try {
    for (const [endpoint, where] of [
      [server.endpoint, 'on the same machine'],
      [line.endpoint, linkInWords],
    ] as const) {
      const bytes = Math.round((gigabytes * 1e9) / count)
      const models = (root: string) => path.join(root, 'mnt/sfs/models')
      const site = openSite(path.join(folder, name), (_, root) => {
        for (let index = 0; index < count; index++)
          layNoise(path.join(models(root), `checkpoints/m${index}.safetensors`), bytes, `model ${index}`)
      })
      const course = { site, models: models(site.root), server, endpoint, rounds, say }
      const title = `${count} models of ${Math.round(bytes / 1e6)} MB, MinIO ${where}`
      tables.push({ title, base, rows: await contest(course) })
      site.remove()
    }
    return { tables, notes: [note] }
  } finally {
    await line.close()
    await server.close()
  }
}

async function uploads({ site, models, server, endpoint, rounds, say }: Course) {
  const seen = new Set<string>()
  const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
    name,
    line,
    checks,
    env: { ...site.env(), ...server.env(endpoint) },
    prepare: async () => {
      site.clear()
      await server.fresh(bucket, !seen.has(name))
      seen.add(name)
    },
    weigh: () => server.weigh(bucket),
    clear: () => server.drop(bucket),
    ...more,
  })
  const ways = [
    way('backup-verda --only models', site.command('backup-verda', '--only', 'models'), ourChecks, {
      ours: true,
      env: site.env(server.settings('R2', bucket, endpoint)),
    }),
    way(base, `rclone copy ${models} s3:${bucket}`, parts, { needs: ['rclone'] }),
    way('aws s3 sync', `${aws} sync --only-show-errors ${models} s3://${bucket}`, parts, { needs: ['aws'] }),
    way('s5cmd cp', `${s5cmd} cp '${models}/*' s3://${bucket}/`, parts, { needs: ['s5cmd'] }),
  ]
  return race(ways, { rounds, folder: site.folder, say })
}

async function downloads({ site, server, endpoint, rounds, say }: Course) {
  site.clear()
  await server.fresh(bucket)
  const laid = {
    name: 'backup-verda',
    checks: '',
    line: site.command('backup-verda', '--only', 'models'),
    env: site.env(server.settings('R2', bucket)),
  }
  const [row] = await race([laid], { rounds: 1, folder: site.folder, say: () => {} })
  if (row?.failed !== undefined) throw new Error(row.failed)

  const to = `${site.out}/mnt/sfs/models`
  // A restore must have its data on disk.
  const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
    name,
    line: `${line} && sync -f ${site.out}`,
    checks,
    env: { ...site.env(), ...server.env(endpoint) },
    prepare: site.clear,
    weigh: async () => ({ storedBytes: bytesIn(site.out) }),
    ...more,
  })
  const restore = site.command('restore', '--yes', '--only', 'models', '--from', 'r2', '--root', site.out)
  const ways = [
    way('restore --only models', restore, 'SHA-256 of each model against its record', {
      ours: true,
      line: restore,
      env: site.env(server.settings('R2', bucket, endpoint)),
    }),
    way(base, `rclone copy s3:${bucket} ${to}`, 'checksums where the server has them', { needs: ['rclone'] }),
    way('aws s3 cp', `${aws} cp --recursive --only-show-errors s3://${bucket} ${to}`, 'sizes', {
      needs: ['aws'],
    }),
    way('s5cmd cp', `${s5cmd} cp 's3://${bucket}/*' ${to}/`, 'sizes', { needs: ['s5cmd'] }),
  ]
  const rows = await race(ways, { rounds, folder: site.folder, say })
  await server.drop(bucket)
  return rows
}

const aws = 'aws --endpoint-url "$S3" s3'
const s5cmd = 's5cmd --log error --endpoint-url "$S3"'
const ourChecks = 'SHA-256 of every part, samples read back, record of SHA-256'
const parts = 'checksum of every part; not read back'
const oursUp =
  'The models are read once, hashed for a record, and read back in samples; the others know only the checksums of parts.'
const oursDown =
  'restore compares every model with its record before it gets its name; the others have nothing to compare with. All are on the disk at the end.'
