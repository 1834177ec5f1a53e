import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { localHost } from '../../hosts/local.ts'

/** A file as it is on the disk or the share. `sha256` is lower-case hex. */
export interface Held {
  bytes: number
  sha256: string
}

/** Reads a file from the disk or the share, not from the page cache. Fails with dd's message. */
export function readPastCache(file: string): Readable {
  return here.stream(script, [file], ({ exitCodes, stderr }) => {
    if (exitCodes[0] !== 0) throw new Error(stderr.trim().replace(/^dd: /, ''))
  })
}

/** Size and digest of a file on the disk. Call fsync before. Throws ENOENT. */
export async function digestPastCache(file: string): Promise<Held> {
  await stat(file)
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of readPastCache(file)) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

const here = localHost({ name: 'this machine', root: '/' })

/** Without O_DIRECT, drop the file's pages from the cache first. */
const script = `
if dd if="$1" iflag=direct bs=64K count=1 of=/dev/null status=none 2>/dev/null; then
  dd if="$1" iflag=direct bs=4M status=none
else
  dd if="$1" iflag=nocache count=0 status=none 2>/dev/null
  dd if="$1" bs=4M status=none
fi
`
