import { execFileSync } from 'node:child_process'
import type { Comparison } from '../harness/comparison.ts'
import { startObjectServer } from '../harness/object-server.ts'
import { awsFromPipe, rcat, repositoryEnv, resticChecks, tarHome } from '../harness/peers.ts'
import { race, type Way } from '../harness/race.ts'

const base = 'tar cz \\| aws s3 cp'
const bucket = 'bench'

export const toS3: Comparison = {
  name: 'to-s3',
  title: 'a home folder to an S3 server',
  async run({ gigabytes, rounds, mixed, say }) {
    const site = mixed()
    const server = await startObjectServer()
    const env = { ...site.env(), ...server.env(), ...repositoryEnv(site.folder) }
    const tar = tarHome(site.root)
    const seen = new Set<string>()
    const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
      name,
      line,
      checks,
      env,
      prepare: async () => {
        site.clear()
        await server.fresh(bucket, !seen.has(name))
        seen.add(name)
      },
      weigh: () => server.weigh(bucket),
      clear: () => server.drop(bucket),
      ...more,
    })
    const restic = way('restic', `restic -q -r s3:$S3/${bucket} backup ${site.home}`, resticChecks, {
      needs: ['restic'],
    })
    try {
      const rows = await race(
        [
          way(
            'backup-verda --to r2',
            site.command('backup-verda', '--only', 'home-dev', '--to', 'r2'),
            ours,
            {
              ours: true,
              env: { ...env, ...site.env(server.settings('R2', bucket)) },
            },
          ),
          way(base, `tar -C ${site.root} -czf - home/dev | ${awsFromPipe(bucket)}`, parts, {
            needs: ['aws'],
          }),
          way('tar \\| pigz \\| rclone rcat', `${tar} | pigz | ${rcat(bucket)}`, parts, {
            needs: ['pigz', 'rclone'],
          }),
          way('tar \\| igzip \\| rclone rcat', `${tar} | igzip | ${rcat(bucket)}`, parts, {
            needs: ['igzip', 'rclone'],
          }),
          {
            ...restic,
            prepare: async () => {
              await restic.prepare?.()
              execFileSync('bash', ['-c', `restic -q -r s3:$S3/${bucket} init`], { env, stdio: 'ignore' })
            },
          },
        ],
        { rounds, folder: site.folder, say },
      )
      return {
        tables: [{ title: `/home/dev of ${gigabytes} GB to MinIO on the same machine`, base, rows }],
        notes: [
          'The server runs on the same cores. Its own time is in nobody’s CPU seconds, but in everybody’s seconds.',
        ],
      }
    } finally {
      await server.close()
    }
  },
}

const ours = 'SHA-256 of every part, samples of 64 MiB read back, record of SHA-256'
const parts = 'checksum of every part; not read back'
