import { stat } from 'node:fs/promises'
import { execa } from 'execa'
import { bash } from '../bash.ts'

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
