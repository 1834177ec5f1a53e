import { execFileSync } from 'node:child_process'
import type { Comparison } from '../harness/comparison.ts'
import { borgChecks, repositoryEnv, resticChecks, tarHome, tarHomeAlike } from '../harness/peers.ts'
import { race, type Way } from '../harness/race.ts'
import { bytesIn } from '../harness/site.ts'

const base = 'tar \\| igzip > file'

export const capture: Comparison = {
  name: 'capture',
  title: 'a home folder to one directory',
  async run({ gigabytes, rounds, mixed, say }) {
    const site = mixed()
    const { root, out, cache } = site
    const env = { ...site.env(), ...repositoryEnv(site.folder) }
    const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
      name,
      line,
      checks,
      env,
      prepare: site.clear,
      weigh: async () => ({ storedBytes: bytesIn(out) }),
      ...more,
    })
    const init = (line: string) => () => {
      site.clear()
      execFileSync('bash', ['-c', line], { env, stdio: 'ignore' })
    }
    const tar = tarHome(root)
    const file = `${out}/home-dev.tar.gz`
    const rows = await race(
      [
        way('backup-cron', site.command('backup-cron', '--only', 'home-dev'), everything, {
          ours: true,
          weigh: async () => ({ storedBytes: bytesIn(cache) }),
        }),
        way(base, `${tar} | igzip >${file}`, 'nothing', { needs: ['igzip'] }),
        way('tar \\| igzip > file, fsync', `${tar} | igzip >${file} && sync ${file}`, 'on the disk', {
          needs: ['igzip'],
        }),
        way('the same work by hand', byHand(root, out), everything, { needs: ['igzip'] }),
        way('tar \\| pigz > file', `${tar} | pigz >${file}`, 'nothing', { needs: ['pigz'] }),
        way('tar czf file', `tar -C ${root} -czf ${file} home/dev`, 'nothing'),
        way('restic', `restic -q -r ${out} backup ${root}/home/dev`, resticChecks, {
          needs: ['restic'],
          prepare: init(`restic -q -r ${out} init`),
        }),
        way('borg', `borg create ${out}::a ${root}/home/dev`, borgChecks, {
          needs: ['borg'],
          prepare: init(`borg init -e none ${out}`),
        }),
      ],
      { rounds, folder: site.folder, say },
    )
    return {
      tables: [{ title: `/home/dev of ${gigabytes} GB to one directory`, base, rows }],
      notes: [
        '"The same work by hand" packs with the same flags, hashes on the way, syncs, renames, writes a record and compares what was written with it, past the page cache (`sha256sum -c`).',
        'gzip and pigz make smaller archives than igzip. restic and borg store what changes later in blocks, so their second run moves less; this project stores a changed home whole.',
      ],
    }
  },
}

const everything = 'synced, read back past the cache, record of SHA-256'

function byHand(root: string, out: string): string {
  const name = 'home-dev.tar.gz'
  return [
    `cd ${out}`,
    `${tarHomeAlike(root)} | igzip | tee .partial | sha256sum | sed 's/-$/${name}/' >record`,
    `sync .partial && mv .partial ${name}`,
    `mv record ${name}.sha256 && sync ${name}.sha256 .`,
    `dd if=${name} iflag=nocache count=0 status=none`,
    `sha256sum --quiet -c ${name}.sha256`,
  ].join(' && ')
}
