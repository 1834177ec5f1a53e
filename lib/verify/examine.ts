import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { bash } from '../bash.ts'
import { boundMemory } from '../capture/compressor.ts'
import { matcher } from '../capture/pattern.ts'
import { errorLines } from '../hosts/lines.ts'

/** What the bytes of an archive say of themselves. */
export interface Inside {
  /** Why it is not one whole gzip file. */
  gzip?: string
  /** Why what is in it is not one whole tar archive. */
  tar?: string
  members: number
  /** Of the patterns given, those that match no member. */
  missing: string[]
}

export interface Examination {
  /** Resolves when more can be taken. */
  take(chunk: Buffer): Promise<void>
  /** After the last byte. */
  end(): Promise<Inside>
  /** Ends it without an answer. */
  leave(): void
}

/** Lets gzip and tar read an archive to its end while it passes by. `mustHave`: shell patterns in which `*` also matches `/`. */
export function examine(mustHave: readonly string[]): Examination {
  const { args, env } = bash(script, [])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const closed = once(child, 'close')
  closed.catch(() => {})
  // Whatever ends too early says why on standard error, or in its exit code.
  child.stdin.on('error', () => {})
  const patterns = new Map(mustHave.map((pattern) => [pattern, matcher(pattern)]))
  let members = 0
  const lines = errorLines((line) => {
    members++
    for (const [pattern, matches] of patterns) if (matches.test(`/${line}`)) patterns.delete(pattern)
    return true
  })
  child.stdout.on('data', (chunk) => lines.push(chunk))
  let said = ''
  child.stderr.on('data', (data) => {
    said = (said + data).slice(-10_000)
  })
  return {
    async take(chunk) {
      if (!child.stdin.writable || child.stdin.write(chunk)) return
      await Promise.race([once(child.stdin, 'drain').catch(() => {}), closed])
    },
    async end() {
      child.stdin.end()
      await closed
      return { members, missing: [...patterns.keys()], ...judge(said) }
    },
    leave: () => child.kill('SIGKILL'),
  }
}

/** Reads what the script said: complaints of gzip and tar, what came behind the tar's last block, both exit codes. */
function judge(said: string): { gzip?: string; tar?: string } {
  const lines = said.split('\n').map((line) => line.trim())
  const complaint = (of: string) =>
    lines
      .filter((line) => line.startsWith(`${of}: `))
      .map((line) => line.slice(of.length + 2).replace(/^stdin: /, ''))
      .at(0)
  const [, gzip, tar] = /^codes (\d+) \d+ (\d+)$/m.exec(said) ?? []
  const [, ending] = /^ending (\d+)$/m.exec(said) ?? []
  if (gzip !== '0') return { gzip: complaint('gzip') ?? `gzip ended with ${gzip ?? 'nothing'}` }
  if (tar !== '0') return { tar: complaint('tar') ?? `tar ended with ${tar}` }
  return ending === '0' ? {} : { tar: 'it ends without the two empty blocks that end a tar archive' }
}

/** The archive on standard input; the names of its members on standard output. What tar leaves is read to its end, for gzip's sake. */
const script = `
gzip -dc |
  tee >(tail -c 1024 | tr -d '\\0' | wc -c | sed 's/^/ending /' >&2) |
  { (${boundMemory}; exec tar -tf -); code=$?; cat >/dev/null; exit $code; }
echo "codes \${PIPESTATUS[*]}" >&2
`
