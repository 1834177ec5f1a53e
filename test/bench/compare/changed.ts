import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Comparison } from '../harness/comparison.ts'
import { changeSome, layMany, layMixed } from '../harness/data.ts'
import { startObjectServer } from '../harness/object-server.ts'
import { borgChecks, repositoryEnv, resticChecks } from '../harness/peers.ts'
import { race, type Way } from '../harness/race.ts'
import { openSite } from '../harness/site.ts'

/** In the lines below it stands for each way's own bucket or folder; no path may hold it by chance. */
const bucket = 'own-bucket'
const ours = 'SHA-256 of every part, read back, a list and a record'
/** One file of so many changes in an hour. */
const share = 100

export const changed: Comparison = {
  name: 'changed',
  title: 'an hour in which one file of a hundred changed',
  async run({ gigabytes, files, rounds, folder, say }) {
    const site = openSite(path.join(folder, 'changed'), (home) => {
      layMixed(home, gigabytes * 1e9)
      layMany(home, files)
    })
    const server = await startObjectServer()
    const env = { ...site.env(), ...server.env(), ...repositoryEnv(site.folder) }
    site.clear()
    // Archives of one minute have one name, so each run is an hour later than the one before.
    const clock = path.join(site.out, 'clock')
    const backup = `BACKUP_NOW=$(cat ${clock}) ${site.command('backup-verda', '--only', 'home-dev', '--to', 'r2')}`
    let hour = 0
    function nextHour() {
      writeFileSync(clock, new Date(Date.UTC(2026, 10, 16) + hour++ * 3_600_000).toISOString())
      changeSome(site.home, share, hour)
    }
    const run = (line: string, more: NodeJS.ProcessEnv) =>
      execFileSync('bash', ['-c', line], { env: { ...env, ...more }, stdio: 'ignore' })

    /** A way that has stored everything once, and stores an hour more at each run. */
    function way(name: string, first: string, line: string, more: Partial<Way>, online = true): Way {
      const own = { ...env, ...more.env }
      const into = name.replaceAll(/\W/g, '-')
      let before = 0
      let begun = false
      const weigh = async () =>
        online ? await server.weigh(into) : { storedBytes: sizeOf(`${site.out}/${into}`) }
      return {
        name,
        line: line.replaceAll(bucket, into),
        checks: '',
        ...more,
        env: own,
        async prepare() {
          if (!begun) {
            if (online) await server.fresh(into)
            nextHour()
            run(first.replaceAll(bucket, into), own)
            begun = true
          }
          nextHour()
          before = (await weigh()).storedBytes ?? 0
          await server.count()
        },
        async weigh() {
          const { storedBytes = 0, ...sent } = await weigh()
          return { ...sent, storedBytes: storedBytes - before }
        },
      }
    }
    const restic = `restic -q -r s3:$S3/${bucket}`
    const borg = `${site.out}/${bucket}`
    const kopia = `kopia --config-file ${site.out}/kopia.config --no-progress`
    try {
      const rows = await race(
        [
          way('backup-verda --to r2', backup, backup, {
            ours: true,
            env: site.env(server.settings('R2', 'backup-verda---to-r2')),
            checks: ours,
          }),
          way('restic', `${restic} init && ${restic} backup ${site.home}`, `${restic} backup ${site.home}`, {
            needs: ['restic'],
            checks: resticChecks,
          }),
          way(
            'borg, to a directory',
            `borg init -e none ${borg} && borg create ${borg}::first ${site.home}`,
            `borg create ${borg}::{now:%s%f} ${site.home}`,
            { needs: ['borg'], checks: borgChecks },
            false,
          ),
          way(
            'kopia',
            `${kopia} repository create s3 --bucket ${bucket} --endpoint \${S3#http://} --disable-tls ` +
              `--access-key $AWS_ACCESS_KEY_ID --secret-access-key $AWS_SECRET_ACCESS_KEY && ${kopia} snapshot create ${site.home}`,
            `${kopia} snapshot create ${site.home}`,
            {
              needs: ['kopia'],
              env: { KOPIA_PASSWORD: 'bench', KOPIA_CHECK_FOR_UPDATES: 'false', HOME: site.out },
              checks: 'chunks hashed, encrypted; not read back',
            },
          ),
        ],
        { rounds, folder: site.folder, say },
      )
      return {
        tables: [
          {
            title: `${gigabytes} GB and ${files} files to MinIO on the same machine, one of ${share} files changed`,
            base: 'restic',
            rows,
          },
        ],
        notes: [
          'Each changed file has new content from its first byte to its last, as a new picture has. Where only a part of a large file changes, the others store that part, and this project the whole file.',
        ],
      }
    } finally {
      await server.close()
      site.remove()
    }
  },
}

function sizeOf(folder: string): number {
  return Number(execFileSync('du', ['-sb', folder], { encoding: 'utf8' }).split('\t')[0])
}
