import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import type { Comparison } from '../harness/comparison.ts'
import { race } from '../harness/race.ts'

const base = 'sha256sum -c && tar xzf'

export const restore: Comparison = {
  name: 'restore',
  title: 'a home folder back from the share',
  async run({ gigabytes, rounds, mixed, say }) {
    const site = mixed()
    const env = site.env()
    site.clear()
    execFileSync('bash', ['-c', site.command('backup-cron', '--only', 'home-dev')], { env, stdio: 'inherit' })
    const config = path.join(site.cache, 'config')
    const archive = readdirSync(config).find((name) => name.endsWith('.tar.gz'))
    const untar = `tar -xpzf ${archive} --numeric-owner -C ${site.out}`
    const empty = () => {
      execFileSync('bash', ['-c', 'rm -rf "$1" && mkdir "$1"', 'bash', site.out])
    }
    const command = site.command(
      'restore',
      '--yes',
      '--only',
      'home-dev',
      '--from',
      'sfs',
      '--root',
      site.out,
    )
    const rows = await race(
      [
        {
          name: 'restore',
          ours: true,
          line: command,
          env,
          checks: 'record, every member, synced',
          prepare: empty,
        },
        {
          name: base,
          line: `cd ${config} && sha256sum -c ${archive}.sha256 && ${untar}`,
          env,
          checks: 'record',
          prepare: empty,
        },
        { name: 'tar xzf', line: `cd ${config} && ${untar}`, env, checks: 'nothing', prepare: empty },
      ],
      { rounds, folder: site.folder, say },
    )
    return {
      tables: [{ title: `/home/dev of ${gigabytes} GB back from a directory`, base, rows }],
      notes: [
        'tar by hand writes over what is there; restore unpacks beside it, and puts what it replaces aside.',
      ],
    }
  },
}
