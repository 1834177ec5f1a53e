import { spawn } from 'node:child_process'
import { bash } from '../bash.ts'
import type { DirectoryOptions } from './directory.ts'
import { type Room, StoreError } from './store.ts'

const probeSeconds = 20

/**
 * Whether a directory store can be written to, and its free bytes. Done in a child that is given up after 20 seconds:
 * a share whose server is gone makes whatever touches it wait for ever.
 */
export async function probeDirectory(options: DirectoryOptions): Promise<Room> {
  const { code, stdout, stderr } = await ask(options, writeScript)
  if (code !== 0) throw refused(options, 'written to', stderr)
  return { freeBytes: Number(stdout) }
}

/** The same for reading alone: nothing is changed there, and a folder that was never made is told as `absent`. */
export async function lookAtDirectory(options: DirectoryOptions): Promise<Room> {
  const { code, stdout, stderr } = await ask(options, lookScript)
  if (code === notThere) return { absent: true }
  if (code !== 0) throw refused(options, 'read', stderr)
  return { freeBytes: Number(stdout) }
}

/** Free bytes of a folder that must be there. Throws StoreError; nothing is changed. */
export async function lookDirectory(options: DirectoryOptions): Promise<Room> {
  const { absent, ...room } = await lookAtDirectory(options)
  if (!absent) return room
  const { name, root, mount } = options
  const share = mount === undefined ? '' : `, though ${mount} is mounted: see whether it is the right share`
  throw new StoreError(`${name}: there is no ${root}${share}`)
}

/** Runs a script about the folder. Throws StoreError when the share hangs or is not mounted. */
async function ask({ name, root, mount }: DirectoryOptions, script: string) {
  const answer = await runBounded(mounted + script, [root, mount ?? ''], probeSeconds)
  if (answer.code === undefined) {
    throw new StoreError(
      `${name}: ${root} did not answer for ${probeSeconds} s: the share hangs. See that its server is up and that this machine may mount it`,
    )
  }
  if (answer.code === notMounted) {
    throw new NotMounted(
      `${name}: ${mount} is not a mount point, so ${root} would be this machine's own disk. Mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
    )
  }
  return answer
}

function refused({ name, root }: DirectoryOptions, what: string, stderr: string): StoreError {
  return new StoreError(`${name}: ${root} cannot be ${what}: ${stderr.trim().split('\n').pop()}`)
}

/** The share is not there, and what lies in its place is this machine's own disk. */
export class NotMounted extends StoreError {
  override name = 'NotMounted'
}

const notMounted = 40
const notThere = 44

const mounted = `
if [ -n "$2" ] && ! mountpoint -q -- "$2"; then exit ${notMounted}; fi
`

const freeBytes = `
set -- $(stat -f -c '%a %S' -- "$1") && echo "$(($1 * $2))"
`

/** A store that turned read-only, or a kill, in between leaves an empty file: the next probe takes it away. Another run's may go too, which does not mind. */
const writeScript = `
umask 077
mkdir -p -- "$1" || exit 41
for left in "$1"/.probe-??????; do
  if [ -f "$left" ] && [ ! -s "$left" ] && [ -O "$left" ]; then rm -f -- "$left"; fi
done
probe=$(mktemp -- "$1/.probe-XXXXXX") || exit 42
rm -f -- "$probe" || exit 43
${freeBytes}`

const lookScript = `
if ! problem=$(stat -- "$1" 2>&1 >/dev/null); then
  case $problem in *': No such file or directory') exit ${notThere} ;; esac
  printf '%s\\n' "$problem" >&2
  exit 45
fi
ls -AU -- "$1/" >/dev/null || exit 46
${freeBytes}`

function runBounded(
  script: string,
  scriptArguments: string[],
  seconds: number,
): Promise<{ code: number | undefined; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const { args, env } = bash(script, scriptArguments)
    const child = spawn('bash', args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    child.stdout.on('data', (data) => {
      output.stdout += data
    })
    child.stderr.on('data', (data) => {
      output.stderr += data
    })
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
      for (const stream of [child.stdout, child.stderr]) stream.destroy()
      child.unref()
      resolve({ code: undefined, ...output })
    }, seconds * 1000)
    child.on('error', reject)
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ code: code ?? 1, ...output })
    })
  })
}
