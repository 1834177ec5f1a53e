import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../world.ts'
import type { Backup } from './records.ts'
import type { Views } from './view.ts'

/** Clause 4: what a whole run leaves behind is nothing but backups. */
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
  // tsx keeps what it has compiled.
  const scratch = files(world.tmp)
    .filter((file) => !file.startsWith(path.join(world.tmp, 'tsx-')))
    // What a killed capture left is removed by the next capture, and not by a run in which nothing had changed.
    .filter((file) => captured || !file.includes('/comfyume-stage-'))
  return [...hidden, ...halves, ...scratch, ...states].map((what) => `left over: ${what}`)
}

/** Processes that outlive the runs: within three seconds all of them must be gone. */
export async function checkProcesses(world: World): Promise<string[]> {
  for (let tries = 0; ; tries++) {
    const strays = processesOf(world)
    if (strays.length === 0 || tries === 60) return strays.map((stray) => `left over: process ${stray}`)
    await sleep(50)
  }
}

/** By what stands in their command line or is their folder: only processes of this world speak of it. */
function processesOf(world: World): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const line = about(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim()
      const ours = line.includes(world.folder) || about(`/proc/${pid}/environ`).includes(world.folder)
      return ours && !world.servers.has(Number(pid)) ? [`${pid} ${line.slice(0, 200)}`] : []
    })
}

/** Clause 4 for the object stores: what their log shows is only what may be asked of them, and no key was written twice. */
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
