import { randomBytes } from 'node:crypto'
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
 * Run it with: npx tsx test/bench/r2-growth.ts [--outputs-daily]
 */
const scale = 1000
const outputsDaily = process.argv.includes('--outputs-daily')
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

// Half a week earlier all is new, so one whole archive of each item with increments is in the week.
const before = new Date(monday - 84 * 3_600_000)
await cron('backup-verda', ['config', 'containers', 'models'], before)
await cron('backup-mello', ['user-data'], before)
const logged = workshop.r2.log.length

for (let hour = 0; hour < 7 * 24; hour++) {
  const now = new Date(monday + hour * 3_600_000)
  const [day, time] = [Math.floor(hour / 24), hour % 24]
  if (day < 5 && time >= 9 && time < 17) {
    verda.write('home/dev/.zsh_history', `${now.toISOString()}\n`)
    workshop.write(`${project}/workflows/user001/file`, now.toISOString())
    workshop.write(`${project}/outputs/user001/${hour}.png`, randomBytes(50_000))
  }
  if (hour === 30) image(verda.folder, 'comfyume-worker', randomBytes(4e9 / scale))
  if (hour === 80) image(verda.folder, 'comfyume-frontend', randomBytes(4e9 / scale))
  if (hour === 50) workshop.writeModel('loras/new.safetensors', randomBytes(2e8 / scale))
  if ([2, 6, 14, 18].includes(time)) await cron('backup-verda', ['config'], now)
  if (time === 4) await cron('backup-verda', ['containers'], now)
  if (hour === 100) await cron('backup-verda', ['models'], now)
  await cron('backup-mello', ['user-data'], now, outputsDaily && time !== 20)
}

const perBucket = new Map<string, number>()
for (const { bucket, operation, status, bytes } of workshop.r2.log.slice(logged)) {
  if (status !== 200 || !['PutObject', 'UploadPart'].includes(operation)) continue
  perBucket.set(bucket, (perBucket.get(bucket) ?? 0) + bytes)
}
const gigabytes = (bytes: number) => `${Math.round((bytes * scale) / 1e9)} GB`
console.log('| bucket | a week, at full size | 30 days |\n| --- | --- | --- |')
for (const [bucket, bytes] of perBucket)
  console.log(`| ${bucket} | ${gigabytes(bytes)} | ${gigabytes((bytes * 30) / 7)} |`)
const sum = [...perBucket.values()].reduce((total, bytes) => total + bytes, 0)
console.log(`| all | ${gigabytes(sum)} | ${gigabytes((sum * 30) / 7)} |`)
await workshop.dispose()
