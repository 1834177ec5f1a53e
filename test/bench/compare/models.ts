import path from 'node:path'
import type { Comparison } from '../harness/comparison.ts'
import { layNoise } from '../harness/data.ts'
import { type ObjectServer, startObjectServer } from '../harness/object-server.ts'
import { race, type Way } from '../harness/race.ts'
import { bytesIn, openSite, type Site } from '../harness/site.ts'

const base = 'rclone copy'
const bucket = 'bench'
const count = 12

/** Models as they are: a dozen large files that no compressor makes smaller. */
function modelSite(folder: string, bytes: number): Site & { models: string } {
  const models = (root: string) => path.join(root, 'mnt/sfs/models')
  const site = openSite(folder, (_, root) => {
    for (let index = 0; index < count; index++)
      layNoise(path.join(models(root), `checkpoints/m${index}.safetensors`), bytes / count, `model ${index}`)
  })
  return { ...site, models: models(site.root) }
}

const sizes = (gigabytes: number) => `${count} models of ${Math.round((gigabytes * 1000) / count)} MB`

export const models: Comparison = {
  name: 'models',
  title: 'many large files to an S3 server',
  async run({ gigabytes, rounds, folder, say }) {
    const site = modelSite(path.join(folder, 'models'), gigabytes * 1e9)
    const server = await startObjectServer()
    const seen = new Set<string>()
    const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
      name,
      line,
      checks,
      env: { ...site.env(), ...server.env },
      prepare: async () => {
        site.clear()
        await server.fresh(bucket, !seen.has(name))
        seen.add(name)
      },
      weigh: () => server.weigh(bucket),
      clear: () => server.drop(bucket),
      ...more,
    })
    try {
      const rows = await race(
        [
          way('backup-verda --only models', site.command('backup-verda', '--only', 'models'), oursUp, {
            ours: true,
            env: site.env(server.settings('R2', bucket)),
          }),
          way(base, `rclone copy ${site.models} s3:${bucket}`, parts, { needs: ['rclone'] }),
          way('aws s3 sync', `${aws} sync --only-show-errors ${site.models} s3://${bucket}`, parts, {
            needs: ['aws'],
          }),
          way('s5cmd cp', `${s5cmd} cp '${site.models}/*' s3://${bucket}/`, parts, { needs: ['s5cmd'] }),
        ],
        { rounds, folder: site.folder, say },
      )
      return {
        tables: [{ title: `${sizes(gigabytes)} to MinIO on the same machine`, base, rows }],
        notes: [
          'The models are read once and hashed for a record; the others know only the checksums of parts.',
        ],
      }
    } finally {
      await server.close()
      site.remove()
    }
  },
}

export const modelsRestore: Comparison = {
  name: 'models-restore',
  title: 'many large files from an S3 server',
  async run({ gigabytes, rounds, folder, say }) {
    const site = modelSite(path.join(folder, 'models-restore'), gigabytes * 1e9)
    const server = await startObjectServer()
    try {
      return {
        tables: [
          {
            title: `${sizes(gigabytes)} from MinIO on the same machine`,
            base,
            rows: await restores(site, server, { rounds, say }),
          },
        ],
        notes: [
          'restore compares every model with its record before it gets its name; the others have nothing to compare with but the parts’ checksums.',
        ],
      }
    } finally {
      await server.close()
      site.remove()
    }
  },
}

async function restores(
  site: Site,
  server: ObjectServer,
  { rounds, say }: { rounds: number; say(text: string): void },
) {
  site.clear()
  await server.fresh(bucket)
  const settings = server.settings('R2', bucket)
  const stored = { name: '', checks: '', line: site.command('backup-verda', '--only', 'models') }
  const [row] = await race([{ ...stored, env: site.env(settings) }], {
    rounds: 1,
    folder: site.folder,
    say: () => {},
  })
  if (row?.failed !== undefined) throw new Error(row.failed)

  const to = `${site.out}/mnt/sfs/models`
  const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
    name,
    line,
    checks,
    env: { ...site.env(), ...server.env },
    prepare: site.clear,
    weigh: async () => ({ storedBytes: bytesIn(site.out) }),
    ...more,
  })
  const restore = site.command('restore', '--yes', '--only', 'models', '--from', 'r2', '--root', site.out)
  return race(
    [
      way('restore --only models', restore, 'SHA-256 of each model against its record, synced', {
        ours: true,
        env: site.env(settings),
      }),
      way(base, `rclone copy s3:${bucket} ${to}`, 'checksums where the server has them', {
        needs: ['rclone'],
      }),
      way('aws s3 cp', `${aws} cp --recursive --only-show-errors s3://${bucket} ${to}`, 'sizes', {
        needs: ['aws'],
      }),
      way('s5cmd cp', `${s5cmd} cp 's3://${bucket}/*' ${to}/`, 'sizes', { needs: ['s5cmd'] }),
    ],
    { rounds, folder: site.folder, say },
  )
}

const aws = 'aws --endpoint-url "$S3" s3'
const s5cmd = 's5cmd --log error --endpoint-url "$S3"'
const oursUp = 'MD5 and SHA-256 of every part, samples read back, record of SHA-256'
const parts = 'checksum of every part; not read back'
