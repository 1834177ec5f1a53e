import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { bash } from '../bash.ts'
import { boundMemory, chooseDecompressor } from '../capture/compressor.ts'

export interface Owner {
  uid: number
  gid: number
}

/** Whose the first member of an archive is, without reading more than its beginning; undefined when it cannot be told. */
export async function ownerOfFirst(body: Readable): Promise<Owner | undefined> {
  const { args, env } = bash(script, [])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'ignore'] })
  // The reader leaves after one line: that the rest finds no taker is meant.
  const fed = pipeline(body, child.stdin).catch(() => {})
  const line = await text(child.stdout)
  body.destroy()
  await fed
  const [, uid, gid] = /^\S+ (\d+)\/(\d+) /.exec(line) ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

const script = `
${chooseDecompressor}
"\${decompressor[@]}" 2>/dev/null | (${boundMemory}; exec tar --list --verbose --numeric-owner) 2>/dev/null | head -n 1
`
