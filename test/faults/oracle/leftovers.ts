import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../world.ts'
import type { Backup } from './records.ts'
import type { Views } from './view.ts'

/** Clause 4: a run that was not broken leaves only backups. */
export async function checkLeftovers(
  world: World,
  views: Views,
  backups: readonly Backup[],
  asked: readonly string[],
  captured: boolean,
): Promise<string[]> {
  const hidden = (['sfs', 'mello'] as const).flatMap((store) =>
    [...views[store].keys()]
      .filter((key) => path.basename(key).startsWith('.') || key.endsWith('.next'))
      .map((key) => `${store} ${key}`),
  )
  const halves = [
    ...[...views.sfs.keys()]
      .filter((key) => /-20\d\d-[\d-]+\.tar\.gz$/.test(key) && isOf(asked, key))
      .filter((key) => !views.sfs.has(`${key}.sha256`) && !world.foreign.has(`sfs ${key}`))
      .map((key) => `sfs ${key} without a record`),
    ...backups
      .filter(
        ({ store, key, item, wrong }) =>
          store === 'sfs' &&
          wrong === 'only its record is there' &&
          asked.includes(item) &&
          !world.damaged.has(`sfs ${key}`),
      )
      .map(({ recordKey }) => `sfs ${recordKey} without its archive`),
  ]
  const states = files(path.join(world.folder, 'state')).filter((file) => /\.\d+$/.test(file))
  // The compile cache of tsx.
  const scratch = files(world.tmp)
    .filter((file) => !file.startsWith(path.join(world.tmp, 'tsx-')))
    // A capture removes what a killed one left; a run without changes captures nothing.
    .filter((file) => captured || !file.includes('/comfyume-stage-'))
    // Files of locks stay: they come here when the process that takes one in the usual folder was killed.
    .filter((file) => !/\/comfyume-backup-\d+(\/[^/]+\.lock)?$/.test(file))
  return [...hidden, ...halves, ...scratch, ...states].map((what) => `left over: ${what}`)
}

/** Processes that outlive the runs: all must be gone within three seconds. */
export async function checkProcesses(world: World): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const strays = processesOf(world)
    if (strays.length === 0 || tries === 60) return strays.map((stray) => `left over: process ${stray}`)
    await sleep(50)
  }
}

/** Found by command line or working folder, which only this world's processes share. */
function processesOf(world: World): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const line = about(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
      const ours = line.includes(world.folder) || about(`/proc/${pid}/environ`).includes(world.folder)
      return ours && !world.servers.has(Number(pid)) ? [`${pid} ${line.slice(0, 200)}`] : []
    })
}

/** Clause 4 for the object stores: their log shows only allowed requests, and no key written twice. */
export function checkLog(world: World): string[] {
  const allowed =
    /^(ListObjectsV2|ListMultipartUploads|ListParts|HeadObject|GetObject|PutObject|UploadPart|CreateMultipartUpload|CompleteMultipartUpload)$/
  const asked = world.r2.log.filter(({ operation }) => !allowed.test(operation))
  const written = world.r2.log
    .filter(
      ({ operation, status }) => /^(PutObject|CompleteMultipartUpload)$/.test(operation) && status === 200,
    )
    .map(({ bucket, key }) => `${bucket}/${key}`)
  const twice = written.filter((key, index) => written.indexOf(key) !== index)
  return [
    ...asked.map(({ operation, bucket, key }) => `requests: ${operation} ${bucket}/${key}`),
    ...[...new Set(twice)].map((key) => `requests: ${key} was written twice`),
  ]
}

function isOf(items: readonly string[], key: string): boolean {
  return items.some((item) => path.basename(key).startsWith(`${item}-20`))
}

function files(folder: string): string[] {
  if (!existsSync(folder)) return []
  return (readdirSync(folder, { recursive: true }) as string[]).map((name) => path.join(folder, name))
}

function about(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
