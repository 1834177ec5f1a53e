import { spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { execa } from 'execa'
import { bash } from '../bash.ts'
import { childEnvironment } from '../hosts/environment.ts'

/**
 * The size in bytes and the SHA-256 of a file as the disk or the share has it, not as the page cache remembers it:
 * read with O_DIRECT where the file system knows that, elsewhere after the cached pages were dropped.
 */
export async function digestPastCache(file: string): Promise<{ bytes: number; sha256: string }> {
  const { size } = await stat(file)
  const { args, env } = bash(script, [file])
  const { stdout } = await execa('bash', args, { env, extendEnv: false, stdin: 'ignore' })
  return { bytes: size, sha256: stdout.slice(0, 64) }
}

const script = `
if dd if="$1" iflag=direct bs=64K count=1 of=/dev/null status=none 2>/dev/null; then
  dd if="$1" iflag=direct bs=4M status=none | sha256sum
else
  dd if="$1" iflag=nocache count=0 status=none 2>/dev/null
  sha256sum < "$1"
fi
`

/** The same bytes as a stream, which fails with what dd says of the file. */
export function readPastCache(file: string): Readable {
  return Readable.from(pastCache(file), { objectMode: false })
}

async function* pastCache(file: string): AsyncGenerator<Buffer> {
  let began = false
  try {
    for await (const chunk of dd(`if=${file}`, 'iflag=direct', 'bs=4M')) {
      began = true
      yield chunk
    }
    return
  } catch (error) {
    if (began || !String(error).includes('Invalid argument')) throw error
  }
  for await (const _ of dd(`if=${file}`, 'iflag=nocache', 'count=0'));
  yield* dd(`if=${file}`, 'bs=4M')
}

async function* dd(...operands: string[]): AsyncGenerator<Buffer> {
  const child = spawn('dd', [...operands, 'status=none'], {
    env: { ...childEnvironment(), LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stderr.on('data', (data) => {
    said += data
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      said = error.message
      resolve(null)
    })
    child.once('close', resolve)
  })
  try {
    yield* child.stdout
    if ((await ended) !== 0) throw new Error(said.trim().replace(/^dd: /, '') || 'dd was killed')
  } finally {
    child.kill('SIGKILL')
  }
}
