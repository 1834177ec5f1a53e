import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { accessSync, constants, lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { bash } from './bash.ts'

export interface Locks {
  /** Items whose lock is held until `release`. */
  held: Set<string>
  /** Items that another process holds, with what is known of it: `pid 123 (backup-cron since …)`. */
  busy: Map<string, string>
  release(): Promise<void>
}

/**
 * Takes a lock for each item, waiting up to `waitSeconds` for those of others. Locks are the kernel's (flock), held by
 * a child for as long as this process lives: a killed run leaves none behind.
 *
 * `scope`: what the items are backed up to; runs of different scopes do not disturb each other.
 */
export async function takeLocks(
  items: readonly string[],
  scope: string,
  command: string,
  waitSeconds = 0,
): Promise<Locks> {
  if (items.length === 0) return { held: new Set(), busy: new Map(), release: async () => {} }
  const folder = lockFolder()
  const prefix = createHash('sha256').update(scope).digest('hex').slice(0, 12)
  const files = items.map((item) => path.join(folder, `${prefix}-${item}.lock`))
  const note = `pid ${process.pid} (${command} since ${new Date().toISOString()})`
  const { args, env } = bash(script, [note, String(waitSeconds), ...files])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const locks: Locks = {
    held: new Set(),
    busy: new Map(),
    async release() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.ref()
      child.stdin.end()
      await once(child, 'exit')
    },
  }
  let answered = 0
  for await (const line of createInterface(child.stdout)) {
    const item = items[answered++] as string
    if (line === 'held') locks.held.add(item)
    else locks.busy.set(item, line.slice('busy '.length) || 'another process')
    if (answered === items.length) break
  }
  if (answered < items.length)
    throw Object.assign(
      new Error(`locks cannot be taken in ${folder}: flock (util-linux) failed, or was killed`),
      { code: 'ENOLCK', syscall: 'flock' },
    )
  child.unref()
  return locks
}

/**
 * Each lock file is opened without emptying it, so that the holder's note stays readable. The last read ends when
 * this process does, and the locks with it.
 */
const script = `
umask 077
note=$1 wait=$2
shift 2
deadline=$((SECONDS + wait))
for file in "$@"; do
  exec {fd}>>"$file" || exit 1
  left=$((deadline - SECONDS))
  if flock -n "$fd" || { [ "$left" -gt 0 ] && flock -w "$left" "$fd"; }; then
    printf '%s\\n' "$note" >"$file" 2>/dev/null
    echo held
  else
    echo "busy $(head -n 1 -- "$file")"
  fi
done
cat >/dev/null
`

/** A folder of this user's own, on this machine: locks on a share could hang with it. */
function lockFolder(): string {
  const uid = process.getuid?.() ?? 0
  const folder = path.join(isWritable('/run/lock') ? '/run/lock' : tmpdir(), `comfyume-backup-${uid}`)
  mkdirSync(folder, { mode: 0o700, recursive: true })
  const about = lstatSync(folder)
  if (!about.isDirectory() || about.uid !== uid)
    throw new Error(`${folder} is not a folder of this user's own: remove it`)
  return folder
}

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
