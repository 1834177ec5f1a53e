import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/**
 * A restore of /home/dev from the share, beside what one would do by hand: `tsx test/bench/restore.ts [GB] [rounds]`. By hand comes twice: unpacked alone,
 * and checked against its record before, which is the same work. Runs alternate, each into an empty folder after a sync; seconds are medians, CPU is user and system time of all
 * processes, memory the peak of the largest one. Needs three times as much free room in the temporary folder.
 */
const gigabytes = Number(process.argv[2] ?? 5)
const rounds = Number(process.argv[3] ?? 3)
const project = path.resolve(import.meta.dirname, '../..')
const folder = mkdtempSync(path.join(tmpdir(), 'bench-restore-'))
const inside = (name: string) => path.join(folder, name)

const env = {
  PATH: process.env.PATH,
  HOME: folder,
  VERDA_ROOT: inside('verda'),
  SFS_ROOT: inside('sfs'),
  SFS_REQUIRE_MOUNT: '0',
  MELLO_BACKUPS: inside('none'),
}
const tsx = (script: string, ...args: string[]) =>
  `node --import tsx ${path.join(project, 'scripts', `${script}.ts`)} ${args.join(' ')}`

/** A third each of text, of what only looks like it, and of what cannot be compressed; files of 50 KB, so that 5 GB are 100,000. */
function build(): void {
  const text = Buffer.from(
    Array.from({ length: 5000 }, (_, line) => `${line} the quick brown fox ${line * 7919}\n`).join(''),
  )
  const noise = randomBytes(4 << 20)
  const count = Math.round((gigabytes * 1e9) / 50_000)
  for (let index = 0; index < count; index++) {
    const home = path.join(inside('verda'), 'home/dev', `d${index % 200}`)
    if (index < 200) mkdirSync(home, { recursive: true })
    const at = (index * 4099) % (4_000_000 - 50_000)
    const noisy = noise.subarray(at, at + 50_000)
    const kinds = [text.subarray(0, 50_000), Buffer.from(noisy.toString('hex').slice(0, 50_000)), noisy]
    writeFileSync(path.join(home, `f${index}`), kinds[index % 3] as Buffer)
  }
}

interface Figures {
  seconds: number
  cpu: number
  megabytes: number
}

function measure(command: string): Figures {
  rmSync(inside('new'), { recursive: true, force: true })
  mkdirSync(inside('new'))
  execFileSync('sync')
  const said = execFileSync(
    'bash',
    [
      '-c',
      `exec 3>&2; /usr/bin/env time -f '%e %U %S %M' -o ${inside('time')} bash -c "$1" >/dev/null && cat ${inside('time')}`,
      'bash',
      command,
    ],
    { env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [elapsed = 0, user = 0, system = 0, kilobytes = 0] = said.trim().split(' ').map(Number)
  return { seconds: elapsed, cpu: user + system, megabytes: kilobytes / 1000 }
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] as number

try {
  build()
  execFileSync('bash', ['-c', tsx('backup-cron', '--only', 'home-dev', '--quiet')], {
    env,
    cwd: project,
    stdio: 'inherit',
  })
  const config = inside('sfs/cache/config')
  const [archive = ''] = readdirSync(config).filter((name) => name.endsWith('.tar.gz'))
  const untar = `tar -xpzf ${archive} --numeric-owner -C ${inside('new')}`
  const ways: Record<string, string> = {
    'tar xzf': `cd ${config} && ${untar}`,
    'sha256sum -c && tar xzf': `cd ${config} && sha256sum -c ${archive}.sha256 && ${untar}`,
    restore: `cd ${project} && ${tsx('restore', '--yes', '--quiet', '--only', 'home-dev', '--from', 'sfs', '--root', inside('new'))}`,
  }
  const figures = new Map(Object.keys(ways).map((name) => [name, [] as Figures[]]))
  for (let round = 0; round < rounds; round++)
    for (const [name, command] of Object.entries(ways)) figures.get(name)?.push(measure(command))
  const base = median((figures.get('sha256sum -c && tar xzf') as Figures[]).map(({ seconds }) => seconds))
  console.log(
    `| /home/dev of ${gigabytes} GB, ${rounds} rounds | seconds | ratio | CPU s | peak MB |\n| --- | --- | --- | --- | --- |`,
  )
  for (const [name, all] of figures) {
    const of = (key: keyof Figures) => median(all.map((one) => one[key]))
    const row = [
      of('seconds').toFixed(1),
      (of('seconds') / base).toFixed(2),
      of('cpu').toFixed(1),
      of('megabytes').toFixed(0),
    ]
    console.log(`| ${name} | ${row.join(' | ')} |`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
