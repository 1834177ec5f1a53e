import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'

/** restic's decision on one host's snapshots: the times that a policy keeps and removes, and why. */
export interface ResticSelection {
  host: string
  keep: { time: Date; reasons: string[] }[]
  remove: Date[]
}

export interface ResticRepository {
  /** Such as `0.18.0`. */
  version: string
  /** The number of snapshots that restic finds. */
  count(): Promise<number>
  /** Adds snapshots at these times, as if made on that host. */
  add(host: string, times: readonly Date[]): Promise<void>
  /** `restic forget --dry-run` with these flags, per host. Leaves out hosts without snapshots. */
  forget(flags: string[]): Promise<ResticSelection[]>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * A new repository by the real restic, with one snapshot of host `real` at `time`. `restic backup` takes half
 * a second, so `add` writes snapshot files itself, sealed as restic documents (References, "Keys, Encryption
 * and MAC"). restic checks each seal and name.
 */
export async function resticRepository(time: Date): Promise<ResticRepository> {
  const folder = await mkdtemp(join(tmpdir(), 'restic-'))
  const repository = join(folder, 'repository')
  const env = { RESTIC_REPOSITORY: repository, RESTIC_PASSWORD: 'not a secret', TZ: 'UTC' }
  const restic = async (...args: string[]) => (await execa('restic', ['--no-cache', ...args], { env })).stdout

  await writeFile(join(folder, 'file'), 'content')
  await restic('init', '--quiet', '--repository-version', '1')
  const at = time.toISOString().slice(0, 19).replace('T', ' ')
  await restic('backup', '--quiet', '--host', 'real', '--time', at, join(folder, 'file'))
  const [found] = JSON.parse(await restic('snapshots', '--json'))
  const snapshot = JSON.parse(await restic('cat', 'snapshot', found.id))
  const key: MasterKey = JSON.parse(await restic('cat', 'masterkey'))

  return {
    version: (await restic('version')).split(' ')[1] ?? '',
    async count() {
      return JSON.parse(await restic('snapshots', '--json')).length
    },
    async add(host, times) {
      for (const time of times) {
        const file = seal(
          key,
          Buffer.from(JSON.stringify({ ...snapshot, time: time.toISOString(), hostname: host })),
        )
        const id = createHash('sha256').update(file).digest('hex')
        await writeFile(join(repository, 'snapshots', id), file)
      }
    },
    async forget(flags) {
      const groups = JSON.parse(await restic('forget', '--dry-run', '--json', '--group-by', 'host', ...flags))
      return groups.map((group: ForgetGroup) => ({
        host: group.host,
        keep: (group.reasons ?? []).map(({ snapshot, matches }) => ({
          time: new Date(snapshot.time),
          reasons: matches,
        })),
        remove: (group.remove ?? []).map((snapshot) => new Date(snapshot.time)),
      }))
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  }
}

interface ForgetGroup {
  host: string
  reasons: { snapshot: { time: string }; matches: string[] }[] | null
  remove: { time: string }[] | null
}

/** All in base64. */
interface MasterKey {
  encrypt: string
  mac: { k: string; r: string }
}

/** A random initialisation vector, the content under AES-256-CTR, and its Poly1305-AES code. */
function seal(key: MasterKey, content: Buffer): Buffer {
  const iv = randomBytes(16)
  const hidden = createCipheriv('aes-256-ctr', Buffer.from(key.encrypt, 'base64'), iv).update(content)
  const nonce = createCipheriv('aes-128-ecb', Buffer.from(key.mac.k, 'base64'), null).update(iv)
  return Buffer.concat([iv, hidden, poly1305(hidden, Buffer.from(key.mac.r, 'base64'), nonce)])
}

/** RFC 8439, 2.5, with `r` and `s` separate. */
function poly1305(message: Buffer, r: Buffer, s: Buffer): Buffer {
  const prime = 2n ** 130n - 5n
  const factor = numberOf(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16)
    sum = ((sum + numberOf(block) + (1n << BigInt(8 * block.length))) * factor) % prime
  }
  const code = (sum + numberOf(s)) % 2n ** 128n
  return Buffer.from(code.toString(16).padStart(32, '0'), 'hex').reverse()
}

function numberOf(littleEndian: Buffer): bigint {
  return BigInt(`0x${Buffer.from(littleEndian).reverse().toString('hex')}`)
}
