import type { BigIntStats } from 'node:fs'
import { open, readlink } from 'node:fs/promises'
import { bytes } from './bytes.ts'

/** Whether what lies at two paths is the same in content, mode, owner and time. */
export async function isSame(
  staged: string,
  is: BigIntStats,
  target: string,
  was: BigIntStats,
): Promise<boolean> {
  if (is.mode !== was.mode || is.uid !== was.uid || is.gid !== was.gid) return false
  if (is.isSymbolicLink()) {
    const [to, wasTo] = await Promise.all([staged, target].map((file) => readlink(bytes(file), 'latin1')))
    return to === wasTo
  }
  if (!is.isFile()) return true
  return is.mtimeNs === was.mtimeNs && (await hasSameContent(staged, is, target, was))
}

export function sameAttributes(is: BigIntStats, was: BigIntStats): boolean {
  return is.mode === was.mode && is.uid === was.uid && is.gid === was.gid
}

export async function hasSameContent(
  staged: string,
  is: BigIntStats,
  target: string,
  was: BigIntStats,
): Promise<boolean> {
  if (is.size !== was.size) return false
  const files = await Promise.all([staged, target].map((file) => open(bytes(file), 'r')))
  const buffers = [Buffer.alloc(1 << 20), Buffer.alloc(1 << 20)] as const
  try {
    for (;;) {
      const [a, b] = await Promise.all(files.map((file, index) => fill(file, buffers[index] as Buffer)))
      if (a !== b || buffers[0].compare(buffers[1], 0, b, 0, a) !== 0) return false
      if (a === 0) return true
    }
  } finally {
    await Promise.all(files.map((file) => file.close()))
  }
}

async function fill(file: Awaited<ReturnType<typeof open>>, buffer: Buffer): Promise<number> {
  let filled = 0
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return filled
}
