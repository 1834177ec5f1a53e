import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { runPlan } from '../../demo/stage.ts'
import { makePlan } from '../../lib/backup/plan.ts'
import { selectItems } from '../../lib/backup/select.ts'
import type { CommandName } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import { buildWorkshop, image } from '../scripts/workshop.ts'

/**
 * How R2 grows: a week of Mello's crontab on a workshop at a thousandth of its size (facts: homes and
 * configuration 6.5 GB, images 20 GB; users' files are assumed to be 2 GB of data and 10 GB of outputs).
 * With --restic, restic stores the same large items in every hour in which something changed.
 * Run it with: npx tsx test/bench/r2-growth.ts [--days 30] [--outputs-daily] [--restic]
 */
const scale = 1000
const { values: flags } = parseArgs({
  options: {
    days: { type: 'string', default: '7' },
    'outputs-daily': { type: 'boolean', default: false },
    restic: { type: 'boolean', default: false },
  },
})
const days = Number(flags.days)
const workshop = await buildWorkshop()
const { verda } = workshop
verda.write('home/dev/large', randomBytes(6.5e9 / scale))
for (const name of ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'])
  image(verda.folder, `comfyume-${name}`, randomBytes(4e9 / scale))
const project = 'home/dev/comfyume-v1/data'
workshop.write(`${project}/user_data/large`, randomBytes(2e9 / scale))
workshop.write(`${project}/outputs/large`, randomBytes(10e9 / scale))

const monday = Date.UTC(2026, 10, 16)
const settings = readSettings({ ...verda.settings })
const opened = new Map<string, ReturnType<typeof openStore>>()

async function cron(command: CommandName, only: string[], now: Date, quick = false): Promise<void> {
  const plan = makePlan(command, selectItems({ command, only, to: ['r2'], quick }), settings, now)
  const report = await runPlan(plan, settings, (name, bucket) => {
    const key = `${name}/${bucket}`
    const store = opened.get(key) ?? openStore(name, bucket, settings)
    opened.set(key, store)
    return store
  })
  if (!report.ok) throw new Error(JSON.stringify(report, null, 2))
}

const repository = path.join(verda.tmp, 'restic')
function restic(...args: string[]): void {
  if (!flags.restic) return
  const env = { ...process.env, RESTIC_PASSWORD: 'bench', RESTIC_CACHE_DIR: `${repository}.cache` }
  execFileSync('restic', ['--quiet', '--repo', repository, ...args], { env })
}
const sources = [
  path.join(verda.root, 'home/dev'),
  path.join(verda.root, 'root'),
  path.join(workshop.mello, project),
]

// Half a week earlier all is new, so one whole archive of each item with increments is in the week.
const before = new Date(monday - 84 * 3_600_000)
await cron('backup-verda', ['config', 'containers', 'models'], before)
await cron('backup-mello', ['user-data'], before)
restic('init')
restic('backup', ...sources)
const logged = workshop.r2.log.length

for (let hour = 0; hour < days * 24; hour++) {
  const now = new Date(monday + hour * 3_600_000)
  const [day, time] = [Math.floor(hour / 24), hour % 24]
  if (day % 7 < 5 && time >= 9 && time < 17) {
    verda.write('home/dev/.zsh_history', `${now.toISOString()}\n`)
    workshop.write(`${project}/workflows/user001/file`, now.toISOString())
    workshop.write(`${project}/outputs/user001/${hour}.png`, randomBytes(50_000))
    restic('backup', ...sources)
  }
  if (hour === 30) image(verda.folder, 'comfyume-worker', randomBytes(4e9 / scale))
  if (hour === 80) image(verda.folder, 'comfyume-frontend', randomBytes(4e9 / scale))
  if (hour === 50) workshop.writeModel('loras/new.safetensors', randomBytes(2e8 / scale))
  if ([2, 6, 14, 18].includes(time)) await cron('backup-verda', ['config'], now)
  if (time === 4) await cron('backup-verda', ['containers'], now)
  if (hour === 100) await cron('backup-verda', ['models'], now)
  await cron('backup-mello', ['user-data'], now, flags['outputs-daily'] && time !== 20)
}

const stored = workshop.r2.log.flatMap(({ bucket, key, operation, status, bytes }, at) =>
  status === 200 && ['PutObject', 'UploadPart'].includes(operation) ? [{ bucket, key, bytes, at }] : [],
)
const sumOf = (rows: typeof stored) => rows.reduce((total, { bytes }) => total + bytes, 0)
const gigabytes = (bytes: number) => `${Math.round((bytes * scale) / 1e9)} GB`
console.log(`| bucket | ${days} days, at full size | 30 days |\n| --- | --- | --- |`)
const later = stored.filter(({ at }) => at >= logged)
const row = (name: string, bytes: number) =>
  console.log(`| ${name} | ${gigabytes(bytes)} | ${gigabytes((bytes * 30) / days)} |`)
for (const one of new Set(later.map(({ bucket }) => bucket)))
  row(one, sumOf(later.filter(({ bucket }) => bucket === one)))
row('all', sumOf(later))
if (flags.restic) {
  const ours = sumOf(
    stored.filter(({ key }) => /(^|\/)(user-data|user-outputs|home-dev|root-home)-/.test(key)),
  )
  const [theirs] = execFileSync('du', ['-sb', repository], { encoding: 'utf8' }).split('\t')
  const ratio = (ours / Number(theirs)).toFixed(2)
  console.log(
    `\nLarge items, with the first archive: ${gigabytes(ours)}; restic: ${gigabytes(Number(theirs))}; ratio ${ratio}`,
  )
}
await workshop.dispose()
