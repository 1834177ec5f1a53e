import { randomBytes } from 'node:crypto'
import { bytesInWords } from '../../lib/cli/words.ts'
import { runPlan } from '../../lib/demo/stage.ts'
import type { CommandName } from '../../lib/inventory.ts'
import { makePlan } from '../../lib/plan.ts'
import { selectItems } from '../../lib/select.ts'
import { readSettings } from '../../lib/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import { buildWorkshop, image } from '../scripts/workshop.ts'

/**
 * How R2 grows: a week of what Mello's crontab runs, over a workshop at a thousandth of its size (facts: homes and configuration 6.5 GB,
 * images 20 GB; the users' files are taken as 2 GB of data and 10 GB of outputs). On five days people work from 9 to 17 h: each hour a home, a
 * workflow and the outputs change. Two images are built anew in the week, one model is added.
 *
 *   npx tsx test/bench/r2-growth.ts
 */
const scale = 1000
const workshop = await buildWorkshop()
const { verda } = workshop
verda.write('home/dev/large', randomBytes(6.5e9 / scale))
for (const name of ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'])
  image(verda.folder, `comfyume-${name}`, randomBytes(4e9 / scale).toString('latin1'))
const project = 'home/dev/comfyume-v1/data'
workshop.write(`${project}/user_data/large`, randomBytes(2e9 / scale))
workshop.write(`${project}/outputs/large`, randomBytes(10e9 / scale))

const monday = Date.UTC(2026, 10, 16)
const settings = readSettings({ ...verda.settings })
const opened = new Map<string, ReturnType<typeof openStore>>()

async function cron(command: CommandName, only: string[], now: Date): Promise<void> {
  const plan = makePlan(command, selectItems({ command, only, to: ['r2'] }), settings, now)
  const report = await runPlan(plan, settings, (name, bucket) => {
    const key = `${name}/${bucket}`
    const store = opened.get(key) ?? openStore(name, bucket, settings)
    opened.set(key, store)
    return store
  })
  if (!report.ok) throw new Error(JSON.stringify(report, null, 2))
}

const writes = { before: 0 }
for (let hour = 0; hour < 7 * 24; hour++) {
  const now = new Date(monday + hour * 3_600_000)
  const [day, time] = [Math.floor(hour / 24), hour % 24]
  if (day < 5 && time >= 9 && time < 17) {
    verda.write('home/dev/.zsh_history', `${now.toISOString()}\n`)
    workshop.write(`${project}/workflows/user001/file`, now.toISOString())
    workshop.write(`${project}/outputs/user001/${hour}.png`, randomBytes(50_000))
  }
  if (hour === 30) image(verda.folder, 'comfyume-worker', randomBytes(4e9 / scale).toString('latin1'))
  if (hour === 80) image(verda.folder, 'comfyume-frontend', randomBytes(4e9 / scale).toString('latin1'))
  if (hour === 50) workshop.writeModel('loras/new.safetensors', randomBytes(2e8 / scale))
  if ([2, 6, 14, 18].includes(time)) await cron('backup-verda', ['config'], now)
  if (time === 4) await cron('backup-verda', ['containers'], now)
  if (hour === 100) await cron('backup-verda', ['models'], now)
  await cron('backup-mello', ['user-data'], now)
  if (hour === 23) writes.before = total()
}

function total(): number {
  return workshop.r2.log
    .filter(({ operation, status }) => ['PutObject', 'UploadPart'].includes(operation) && status === 200)
    .reduce((sum, { bytes }) => sum + bytes, 0)
}

const perBucket = new Map<string, { bytes: number; requests: number }>()
for (const { bucket, operation, status, bytes } of workshop.r2.log) {
  const sum = perBucket.get(bucket) ?? { bytes: 0, requests: 0 }
  if (status === 200 && ['PutObject', 'UploadPart'].includes(operation)) sum.bytes += bytes
  if (!['GetObject', 'HeadObject'].includes(operation)) sum.requests++
  perBucket.set(bucket, sum)
}
console.log('| bucket | in this week | at full size | a month of it | writes and lists a month |')
console.log('| --- | --- | --- | --- | --- |')
for (const [bucket, { bytes, requests }] of perBucket) {
  const month = (bytes * scale * 30) / 7
  console.log(
    `| ${bucket} | ${bytesInWords(bytes)} | ${bytesInWords(bytes * scale)} | ${bytesInWords(month)} | ${Math.round((requests * 30) / 7)} |`,
  )
}
console.log(`the first day alone, with everything new: ${bytesInWords(writes.before * scale)} at full size`)
await workshop.dispose()
