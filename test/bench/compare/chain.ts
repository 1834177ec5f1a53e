import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import type { Comparison } from '../harness/comparison.ts'
import { changeSome, layMixed } from '../harness/data.ts'
import { race } from '../harness/race.ts'
import { openSite } from '../harness/site.ts'

const links = 100
/** One file of so many changes in an hour. */
const share = 300
const base = 'restore of a whole archive'

export const chain: Comparison = {
  name: 'chain',
  title: `a home back from a chain of ${links} archives`,
  async run({ gigabytes, rounds, folder, say }) {
    const site = openSite(path.join(folder, 'chain'), (home) => layMixed(home, gigabytes * 1e9))
    site.clear()
    const stores = { chain: site.mello, whole: path.join(site.folder, 'whole') }
    mkdirSync(stores.whole)
    const backUp = (store: string, hour: number) =>
      execFileSync('bash', ['-c', site.command('backup-verda', '--only', 'home-dev', '--to', 'mello')], {
        env: site.env({
          MELLO_BACKUPS: store,
          BACKUP_NOW: new Date(Date.UTC(2026, 10, 16) + hour * 3_600_000).toISOString(),
        }),
        stdio: 'ignore',
      })
    for (let link = 0; link < links; link++) {
      if (link > 0) changeSome(site.home, share, link)
      backUp(stores.chain, link)
      if (link % 10 === 0) say(`archive ${link} of ${links}`)
    }
    backUp(stores.whole, links)
    const names = execFileSync('bash', ['-c', `ls ${stores.chain}/config/*.list.gz | wc -l`], {
      encoding: 'utf8',
    })
    if (Number(names) !== links) throw new Error(`there are ${names.trim()} archives instead of ${links}`)
    const restore = site.command(
      ...(['restore', '--yes', '--only', 'home-dev', '--from', 'mello', '--root', site.out] as const),
    )
    const way = (name: string, store: string) => ({
      name,
      ours: true as const,
      line: restore,
      env: site.env({ MELLO_BACKUPS: store }),
      checks: 'record of each archive, every member, the list of the hour, synced',
      prepare: () => {
        execFileSync('bash', ['-c', 'rm -rf "$1" && mkdir "$1"', 'bash', site.out])
      },
    })
    const rows = await race([way(base, stores.whole), way(`restore of ${links} links`, stores.chain)], {
      rounds,
      folder: site.folder,
      say,
    })
    site.remove()
    return {
      tables: [
        { title: `/home/dev of ${gigabytes} GB, in each hour one of ${share} files changed`, base, rows },
      ],
      notes: ['A chain starts over after a week, or when its increments are as large as its whole archive.'],
    }
  },
}
