import { execFileSync } from 'node:child_process'
import type { Comparison, Table } from '../harness/comparison.ts'
import { openLink } from '../harness/link.ts'
import { startObjectServer } from '../harness/object-server.ts'
import { race, type Way } from '../harness/race.ts'

const base = 'aws s3 cp, tar \\| igzip'
const bucket = 'bench'

/** A long line, where one connection gets at most a quarter. */
const link = { bytesPerSecond: 100e6, delayMs: 20, windowBytes: 512 * 1024 }

export const restoreS3: Comparison = {
  name: 'restore-s3',
  title: 'a home folder back from an S3 server',
  async run({ gigabytes, rounds, mixed, say }) {
    const site = mixed()
    const server = await startObjectServer()
    const line = await openLink(server.endpoint, link)
    try {
      site.clear()
      await server.fresh(bucket)
      const laid = site.command('backup-verda', '--only', 'home-dev', '--to', 'r2')
      execFileSync('bash', ['-c', laid], { env: site.env(server.settings('R2', bucket)), stdio: 'inherit' })

      const restore = site.command(
        'restore',
        '--yes',
        '--only',
        'home-dev',
        '--from',
        'r2',
        '--root',
        site.out,
      )
      // Also reads what tar leaves in the pipe, or the previous command would fail.
      const untar = `{ tar -xp --numeric-owner -C ${site.out} && cat >/dev/null; }`
      const contest = (at: string) => {
        const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
          name,
          line,
          checks,
          env: { ...site.env(), ...server.env(at) },
          prepare: () => {
            execFileSync('bash', ['-c', 'rm -rf "$1" && mkdir "$1"', 'bash', site.out])
          },
          ...more,
        })
        const aws = `aws --endpoint-url "$S3" s3 cp --recursive --only-show-errors --exclude '*' --include '*.tar.gz' s3://${bucket}`
        const ways = [
          way('restore --from r2', restore, 'record, every member, synced', {
            ours: true,
            env: site.env(server.settings('R2', bucket, at)),
          }),
          way(
            base,
            `${aws} ${site.out}/got && find ${site.out}/got -name '*.tar.gz' -exec igzip -dc {} + | ${untar}`,
            'sizes',
            {
              needs: ['aws', 'igzip'],
            },
          ),
          way(
            'rclone cat \\| igzip \\| tar',
            `rclone cat --include '*.tar.gz' s3:${bucket} | igzip -dc | ${untar}`,
            'nothing',
            {
              needs: ['rclone', 'igzip'],
            },
          ),
        ]
        return race(ways, { rounds, folder: site.folder, say })
      }
      const title = `/home/dev of ${gigabytes} GB back from MinIO`
      const tables: Table[] = []
      for (const [at, where] of [
        [server.endpoint, 'on the same machine'],
        [line.endpoint, 'over a line of 100 MB/s and 40 ms, 25 MB/s of it for each connection'],
      ] as const)
        tables.push({ title: `${title} ${where}`, base, rows: await contest(at) })
      await server.drop(bucket)
      return { tables, notes: ['restore unpacks beside what is there, compares with the record, and syncs.'] }
    } finally {
      await line.close()
      await server.close()
    }
  },
}
