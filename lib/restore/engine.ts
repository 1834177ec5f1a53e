import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { bash } from '../bash.ts'
import { chooseDecompressor } from '../capture/compressor.ts'
import { systemEnvironment } from '../hosts/environment.ts'
import { messageOf } from '../message.ts'
import type { Settings } from '../settings.ts'
import { BadArchive, CannotUnpack } from './bad-archive.ts'
import { has, must, sh } from './system.ts'

/** The container engine of this machine, undefined when there is none. */
export async function engineOf({ containerEngine }: Settings): Promise<string | undefined> {
  for (const engine of containerEngine ? [containerEngine] : ['docker', 'podman'])
    if (await has(engine)) return engine
  return undefined
}

/** Throws with what to do when there is none, or when it cannot load anything now: no archive need be read to find that out. */
export async function engineThatAnswers(settings: Settings): Promise<string> {
  const { containerEngine } = settings
  const engine = await engineOf(settings)
  if (engine === undefined)
    throw new Error(
      containerEngine
        ? `CONTAINER_ENGINE is ${containerEngine}, and there is no such command to load it with: install it, or set the right one, then run this again`
        : 'there is neither docker nor podman to load it with: install one, then run this again',
    )
  const { exitCode, stderr } = await sh`timeout 60 ${engine} info`
  if (exitCode === 0) return engine
  throw new Error(
    `${engine} does not answer: ${stderr.trim().split('\n').at(-1) || 'not within a minute'}. See systemctl status docker, then run this again`,
  )
}

/** The ids under some tags, as one text; undefined when one of them is not there. */
export async function idsOf(engine: string, tags: readonly string[]): Promise<string | undefined> {
  const ids: string[] = []
  for (const tag of tags) {
    const { exitCode, stdout } = await sh`${engine} image inspect --format '{{.Id}}' ${tag}`
    if (exitCode !== 0) return undefined
    ids.push(stdout.trim())
  }
  return ids.join(' ')
}

/** Gives an image tags, also those that another image has now. */
export async function tagImage(engine: string, image: string, tags: readonly string[]): Promise<void> {
  const id = await idsOf(engine, [image])
  for (const tag of tags)
    if (tag !== image && (await idsOf(engine, [tag])) !== id) await must(sh`${engine} tag ${image} ${tag}`)
}

/**
 * Loads a compressed archive into the engine; it is unpacked on the way, because not every podman takes it as it is. The engine comes to the end of its input only when
 * the archive was read to its own and its sums are right: it takes nothing of an image without its end. Returns what it calls the image now. Throws BadArchive.
 */
export async function loadImage(engine: string, body: Readable): Promise<string | undefined> {
  const { args, env } = bash(unpackScript, [])
  const unpacking = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const loading = spawn(engine, ['load'], { env: systemEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] })
  const unpacked = ended(unpacking, text(unpacking.stderr))
  const answer = text(loading.stdout)
  const loaded = ended(loading, text(loading.stderr))
  const [fed] = await Promise.allSettled([
    pipeline(body, unpacking.stdin),
    pipeline(unpacking.stdout, loading.stdin, { end: false }),
  ])
  const archive = await unpacked
  if (fed.status === 'fulfilled' && archive.code === 0) loading.stdin.end()
  // By itself it ends when it is refused something; else it waits for more.
  else if (archive.signal === null) loading.kill('SIGKILL')
  const { code, said } = await loaded
  if (code === 0) return /^Loaded image[^:]*: *([^\s,]+)/m.exec(await answer)?.[1]
  if (/no space left on device|disk quota exceeded/i.test(said))
    throw new CannotUnpack(`no room for the image: free some (${engine} system df), and run this again`)
  const broken = fed.status === 'rejected' ? messageOf(fed.reason) : `it cannot be unpacked: ${archive.said}`
  throw new BadArchive(code === null ? broken : `${engine} load: ${said || `exit ${code}`}`)
}

/** How a child ended, and what it said, on one line. */
async function ended(
  child: ChildProcess,
  said: Promise<string>,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; said: string }> {
  const ending = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.once('error', () => resolve([127, null]))
    child.once('close', (...how) => resolve(how))
  })
  child.stdin?.on('error', () => {})
  const [code, signal] = await ending
  return { code, signal, said: (await said).trim().replace(/\s+/g, ' ') }
}

const unpackScript = `
${chooseDecompressor}
exec "\${decompressor[@]}"
`
