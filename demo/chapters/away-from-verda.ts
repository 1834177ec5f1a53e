import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { makePlan } from '../../lib/backup/plan.ts'
import type { Report } from '../../lib/backup/report.ts'
import { selectItems } from '../../lib/backup/select.ts'
import { buckets, type CommandName, type StoreName } from '../../lib/inventory.ts'
import { readSettings, type Settings } from '../../lib/settings/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import { type S3Server, startS3Server } from '../../test/servers/s3-server.ts'
import { moment } from '../calendar.ts'
import type { Chapter } from '../chapter.ts'
import { backUp, planRun, runPlan, type Stage } from '../stage.ts'
import { workAnHour } from '../verda.ts'

const bucketNames = Object.values(buckets).map(({ name }) => name)

export const awayFromVerda: Chapter = {
  title: 'Away from Verda',
  async tell(stage) {
    const { say, folder, verda, weeks } = stage
    await buildMello(folder)
    await buildModels(verda)
    const r2 = await startS3Server({ folder: path.join(folder, 'r2'), buckets: bucketNames })
    const hetzner = await startS3Server({ folder: path.join(folder, 'hetzner'), buckets: bucketNames })
    stage.closers.push(
      () => r2.close(),
      () => hetzner.close(),
    )
    say.line(
      'The share can be lost too. So Mello runs backup-verda, which copies configuration, homes and models to Mello',
    )
    say.line(
      'and to two object stores in one pass. backup-mello adds what the users made. Four runs on the last day,',
    )
    say.line('the second with a wrong key for Hetzner:')
    const day = weeks * 7 - 1
    const reports: Report[] = []
    for (const hour of [2, 6, 14, 18]) {
      await workAnHour(verda)
      const settings = settingsFor(stage, r2, hetzner, hour === 6 ? 'wrong' : hetzner.secretAccessKey)
      for (const [command, only] of lines) reports.push(await runLine(settings, command, only, day, hour))
      say.write(summaryOf(hour, reports.slice(-lines.length)))
    }
    tellNames(stage, r2)
    // From here on the story has object stores; the share gets its hourly run first.
    stage.settings = { ...settingsFor(stage, r2, hetzner, hetzner.secretAccessKey), sfs: stage.settings.sfs }
    await backUp(stage, planRun(stage, moment(day, 22, 5), ['config']))
    await backUp(stage, planRun(stage, moment(day, 22, 20), ['home-dev', 'root-home', 'scripts']))
    return (
      tellLaw(stage, [r2, hetzner]) &&
      (await isWhole(stage, r2, hetzner)) &&
      failuresOf(reports) === 'hetzner'
    )
  },
}

const lines: [CommandName, string[]][] = [
  ['backup-verda', ['config', 'scripts', 'models']],
  ['backup-mello', ['user-data']],
]

async function buildMello(folder: string): Promise<void> {
  for (const kind of ['workflows', 'inputs', 'user_data', 'outputs']) {
    const of = path.join(folder, 'mello/home/dev/comfyume-v1/data', kind, 'user001')
    await mkdir(of, { recursive: true })
    await writeFile(path.join(of, 'first'), randomBytes(20_000))
  }
}

async function buildModels(verda: string): Promise<void> {
  for (const [name, bytes] of [
    ['checkpoints/base', 20_000_000],
    ['loras/style', 3_000_000],
  ] as const) {
    const file = path.join(verda, `mnt/sfs/models/${name}.safetensors`)
    await mkdir(path.dirname(file), { recursive: true })
    await writeFile(file, randomBytes(bytes))
  }
}

function settingsFor(
  { folder, verda }: Stage,
  r2: S3Server,
  hetzner: S3Server,
  hetznerSecret: string,
): Settings {
  return readSettings({
    VERDA_SSH: 'local',
    VERDA_ROOT: verda,
    MELLO_ROOT: path.join(folder, 'mello'),
    MELLO_BACKUPS: path.join(folder, 'mello/home/dev/backups/verda'),
    R2_ENDPOINT: r2.endpoint,
    R2_ACCESS_KEY_ID: r2.accessKeyId,
    R2_SECRET_ACCESS_KEY: r2.secretAccessKey,
    HETZNER_ENDPOINT: hetzner.endpoint,
    HETZNER_ACCESS_KEY_ID: hetzner.accessKeyId,
    HETZNER_SECRET_ACCESS_KEY: hetznerSecret,
  })
}

function runLine(
  settings: Settings,
  command: CommandName,
  only: string[],
  day: number,
  hour: number,
): Promise<Report> {
  const plan = makePlan(command, selectItems({ command, only }), settings, moment(day, hour, 0))
  return runPlan(plan, settings, (name, bucket) => openStore(name, bucket, settings))
}

function summaryOf(hour: number, reports: readonly Report[]): string {
  const outcomes = reports.flatMap(({ items }) => items.flatMap(({ stores }) => Object.entries(stores)))
  const inStore = (store: string) => {
    const own = outcomes.filter(([name]) => name === store).map(([, { status }]) => status)
    const count = (status: string) => own.filter((one) => one === status).length
    return `${store} ${count('stored')} stored, ${count('unchanged')} unchanged${count('failed') ? `, ${count('failed')} FAILED` : ''}`
  }
  return `${String(hour).padStart(2)} h: ${['mello', 'r2', 'hetzner'].map(inStore).join('; ')}`
}

function tellNames({ say }: Stage, r2: S3Server): void {
  const names = r2.keys(buckets.cache.name).filter((key) => /home-dev.*gz$/.test(key))
  say.line(
    'Nothing is overwritten there: the first archive of a day is named by the day, later ones by the hour.',
  )
  for (const name of names) say.write(name)
}

/** Law 1, checked in the servers' own logs. */
function tellLaw({ say }: Stage, servers: readonly S3Server[]): boolean {
  const requests = servers.flatMap(({ log }) => log)
  const writes = servers.flatMap(({ log }, server) =>
    log
      .filter(
        ({ operation, status }) =>
          ['PutObject', 'CompleteMultipartUpload'].includes(operation) && status === 200,
      )
      .map(({ bucket, key }) => `${server}/${bucket}/${key}`),
  )
  const deletes = requests.filter(({ method }) => method === 'DELETE').length
  const twice = writes.length - new Set(writes).size
  say.line(
    `The servers' logs: ${requests.length} requests, ${writes.length} objects written, ${twice} written twice, ${deletes} deleted.`,
  )
  return deletes === 0 && twice === 0
}

/** Whether both object stores have everything that Mello has after the last run. */
async function isWhole({ say, folder }: Stage, r2: S3Server, hetzner: S3Server): Promise<boolean> {
  const archives = (server: S3Server, bucket: string) =>
    server.keys(bucket).filter((key) => key.endsWith('.tar.gz'))
  const own = archives(r2, buckets.cache.name)
  let equal = 0
  for (const key of own) {
    const there = await r2.content(buckets.cache.name, key)
    const onMello = await readFile(path.join(folder, 'mello/home/dev/backups/verda', key))
    if (there?.equals(onMello)) equal++
  }
  say.line(
    `${own.length} archives on R2, ${equal} of them byte for byte on Mello too; Hetzner, which missed a run, has ${archives(hetzner, buckets.cache.name).length}.`,
  )
  return equal === own.length
}

/** The stores with failures, each once. */
function failuresOf(reports: readonly Report[]): string {
  const failed = reports.flatMap(({ items }) =>
    items.flatMap(({ stores }) =>
      (Object.keys(stores) as StoreName[]).filter((name) => stores[name]?.status === 'failed'),
    ),
  )
  return [...new Set(failed)].join()
}
