import { bash, run, TimedOut } from '../../hosts/process.ts'
import { type Room, StoreError } from '../store.ts'

export interface DirectoryOptions {
  name: string
  /** Absolute. A key is a path below it. Created on the first write. */
  root: string
  /** A folder that must be a mount point, such as the share that contains `root`. */
  mount?: string
}

/** In the root: locks that say which items are being backed up. Keys never start with it. */
export const lockFolder = '.locks'

const probeSeconds = 20

/**
 * Checks that a directory store can be written to, and returns its free bytes. A child process does it and is
 * given up after 20 seconds: every access to a share without its server hangs.
 */
export async function probeDirectory(options: DirectoryOptions): Promise<Room> {
  const { exitCode, stdout, stderr } = await ask(options, writeScript)
  if (exitCode !== 0) throw refused(options, 'written to', stderr)
  return { freeBytes: Number(stdout) }
}

/** Checks reading only and changes nothing. Returns `absent` when the folder was never created. */
export async function lookAtDirectory(options: DirectoryOptions): Promise<Room> {
  const { exitCode, stdout, stderr } = await ask(options, lookScript)
  if (exitCode === notThere) return { absent: true }
  if (exitCode !== 0) throw refused(options, 'read', stderr)
  return { freeBytes: Number(stdout) }
}

/** Free bytes of a folder that must exist. Changes nothing. Throws StoreError. */
export async function lookDirectory(options: DirectoryOptions): Promise<Room> {
  const { absent, ...room } = await lookAtDirectory(options)
  if (!absent) return room
  const { name, root, mount } = options
  const share = mount === undefined ? '' : `, though ${mount} is mounted: see whether it is the right share`
  throw new StoreError(`${name}: there is no ${root}${share}`)
}

/** Throws StoreError when the share hangs or is not mounted. */
async function ask({ name, root, mount }: DirectoryOptions, script: string) {
  const command = bash(mounted + script, [root, mount ?? ''])
  const answer = await run(command, { seconds: probeSeconds }).catch((error) => {
    if (!(error instanceof TimedOut)) throw error
    throw new StoreError(
      `${name}: ${root} did not answer for ${probeSeconds} s: the share hangs. See that its server is up and that this machine may mount it`,
    )
  })
  if (answer.exitCode === notMounted) {
    throw new NotMounted(
      `${name}: ${mount} is not a mount point, so ${root} would be this machine's own disk. Mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
    )
  }
  return answer
}

function refused({ name, root }: DirectoryOptions, what: string, stderr: string): StoreError {
  return new StoreError(`${name}: ${root} cannot be ${what}: ${stderr.trim().split('\n').pop()}`)
}

/** The share is not mounted, so its folder is on this machine's own disk. */
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

/** A kill leaves an empty file, and the next probe removes it. Removing another run's probe does no harm. */
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
