import type { Comparison } from '../harness/comparison.ts'
import { startObjectServer } from '../harness/object-server.ts'
import { rcat, tarHome } from '../harness/peers.ts'
import { race, type Way } from '../harness/race.ts'
import { bytesIn } from '../harness/site.ts'

const base = 'tar \\| igzip > file'
const bucket = 'bench'

export const fanOut: Comparison = {
  name: 'fan-out',
  title: 'a home folder to a directory and two S3 servers at once',
  async run({ gigabytes, rounds, mixed, say }) {
    const site = mixed()
    const servers = [await startObjectServer(), await startObjectServer()] as const
    const [r2, hetzner] = servers
    const env = { ...site.env(), ...r2.env(), SECOND: hetzner.endpoint }
    const seen = new Set<string>()
    const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
      name,
      line,
      checks,
      env,
      needs: ['igzip'],
      prepare: async () => {
        site.clear()
        for (const server of servers) await server.fresh(bucket, !seen.has(name))
        seen.add(name)
      },
      weigh: async () => {
        const [one, other] = [await r2.weigh(bucket), await hetzner.weigh(bucket)]
        const sum = (of: 'storedBytes' | 'sentBytes') => (one[of] ?? 0) + (other[of] ?? 0)
        const here = bytesIn(site.out) + bytesIn(site.mello)
        return { storedBytes: here + sum('storedBytes'), sentBytes: sum('sentBytes') }
      },
      clear: async () => {
        for (const server of servers) await server.drop(bucket)
      },
      ...more,
    })
    const tar = `${tarHome(site.root)} | igzip`
    const file = `${site.out}/home-dev.tar.gz`
    const second = `RCLONE_CONFIG_S3_ENDPOINT=$SECOND ${rcat(bucket)}`
    try {
      const rows = await race(
        [
          way('backup-verda', site.command('backup-verda', '--only', 'home-dev'), everywhere, {
            ours: true,
            env: site.env({ ...r2.settings('R2', bucket), ...hetzner.settings('HETZNER', bucket) }),
          }),
          way(base, `${tar} >${file}`, 'nothing, and in one place only'),
          way(
            'one after another by hand',
            `${tar} >${file} && ${tar} | ${rcat(bucket)} && ${tar} | ${second}`,
            inTurn,
            {
              needs: ['igzip', 'rclone'],
            },
          ),
          way(
            'one pass by hand: tee',
            `mkfifo one other && { ${rcat(bucket)} <one & ${second} <other & ${tar} | tee one other >${file}; wait -n && wait -n; rm one other; }`,
            inTurn,
            { needs: ['igzip', 'rclone'] },
          ),
        ],
        { rounds, folder: site.folder, say },
      )
      return {
        tables: [{ title: `/home/dev of ${gigabytes} GB to a directory and two MinIO servers`, base, rows }],
        notes: ['Both servers run on the same cores, and write to the same disk.'],
      }
    } finally {
      for (const server of servers) await server.close()
    }
  },
}

const everywhere = 'each of the three read back, records of SHA-256'
const inTurn = 'checksum of every part; not read back'
