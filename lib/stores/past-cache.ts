import { spawn } from 'node:child_process'
import { Readable } from 'node:stream'
import { childEnvironment } from '../hosts/environment.ts'

/** A file's bytes as the disk or the share has them, not as the page cache remembers them; fails with what dd says of the file. */
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
