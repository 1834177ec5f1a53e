import { execFileSync } from 'node:child_process'
import path from 'node:path'
import type { Comparison } from '../harness/comparison.ts'
import { layMany } from '../harness/data.ts'
import { repositoryEnv } from '../harness/peers.ts'
import { race, type Way } from '../harness/race.ts'
import { openSite } from '../harness/site.ts'

const base = 'find alone'

export const unchanged: Comparison = {
  name: 'unchanged',
  title: 'an hour in which nothing changed',
  async run({ files, rounds, folder, say }) {
    const site = openSite(path.join(folder, 'unchanged'), (home) => layMany(home, files))
    const env = { ...site.env(), ...repositoryEnv(site.folder) }
    const [restic, borg] = [`${site.out}/restic`, `${site.out}/borg`]
    site.clear()
    const first = (line: string) => () => {
      execFileSync('bash', ['-c', line], { env, stdio: 'ignore' })
    }
    const ours = site.command('backup-cron', '--only', 'home-dev')
    const way = (name: string, line: string, checks: string, more: Partial<Way> = {}): Way => ({
      name,
      line,
      checks,
      env,
      ...more,
    })
    const ways = [
      way('backup-cron', ours, 'every path with size, times, inode, mode, owner', {
        ours: true,
        prepare: once(first(ours)),
      }),
      way(base, `find ${site.home} -printf '${facts}' | sha256sum >/dev/null`, 'the same, compares nothing'),
      way('restic', `restic -q -r ${restic} backup ${site.home}`, 'size, times, inode', {
        needs: ['restic'],
        prepare: once(first(`restic -q -r ${restic} init && restic -q -r ${restic} backup ${site.home}`)),
      }),
      way('borg', `borg create ${borg}::{now:%s%f} ${site.home}`, 'size, ctime, inode', {
        needs: ['borg'],
        prepare: once(first(`borg init -e none ${borg} && borg create ${borg}::first ${site.home}`)),
      }),
    ]
    const rows = await race(ways, { rounds, folder: site.folder, say })
    site.remove()
    return {
      tables: [{ title: `${files} files, none of them changed`, base, rows }],
      notes: [
        '`find` alone prints what the fingerprint is made of, and hashes it. restic and borg make a new snapshot each time, from which this hour could be restored by its own name.',
      ],
    }
  },
}

const facts = '%p\\0%y %s %T@ %C@ %i %m %U %G %l\\0'

function once(action: () => void): () => void {
  let done = false
  return () => {
    if (!done) action()
    done = true
  }
}
