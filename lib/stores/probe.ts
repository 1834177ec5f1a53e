import { spawn } from 'node:child_process'
import { bash } from '../bash.ts'
import type { DirectoryOptions } from './directory.ts'
import { type Room, StoreError } from './store.ts'

const probeSeconds = 20

/** Whether a directory store can be written to, and its free bytes; its folder is made when it is not there. */
export async function probeDirectory(options: DirectoryOptions): Promise<Room> {
  return askDirectory(options, 'write')
}

/** Whether a directory store can be read, and its free bytes. Writes nothing; a folder that is not there is a failure. */
export async function lookDirectory(options: DirectoryOptions): Promise<Room> {
  return askDirectory(options, 'read')
}

/**
 * Asked in a child that is given up after 20 seconds: a share whose server is gone makes whatever touches it wait for ever.
 */
async function askDirectory(
  { name, root, mount }: DirectoryOptions,
  forWhat: 'read' | 'write',
): Promise<Room> {
  const { code, stdout, stderr } = await runBounded(script, [root, mount ?? '', forWhat], probeSeconds)
  if (code === undefined) {
    throw new StoreError(
      `${name}: ${root} did not answer for ${probeSeconds} s: the share hangs. See that its server is up and that this machine may mount it`,
    )
  }
  if (code === notMounted) {
    throw new StoreError(
      `${name}: ${mount} is not a mount point, so ${root} would be this machine's own disk. Mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
    )
  }
  if (code === notThere) {
    throw new StoreError(
      `${name}: there is no ${root}${mount === undefined ? '' : `, though ${mount} is mounted: see whether it is the right share`}`,
    )
  }
  if (code !== 0) {
    const can = forWhat === 'write' ? 'written to' : 'read'
    throw new StoreError(`${name}: ${root} cannot be ${can}: ${stderr.trim().split('\n').pop()}`)
  }
  return { freeBytes: Number(stdout) }
}

const notMounted = 40
const notThere = 44

const script = `
if [ -n "$2" ] && ! mountpoint -q -- "$2"; then exit ${notMounted}; fi
if [ "$3" = read ]; then
  [ -d "$1" ] || exit ${notThere}
  ls -- "$1" >/dev/null || exit 45
else
  umask 077
  mkdir -p -- "$1" || exit 41
  probe=$(mktemp -- "$1/.probe-XXXXXX") || exit 42
  rm -f -- "$probe" || exit 43
fi
set -- $(stat -f -c '%a %S' -- "$1") && echo "$(($1 * $2))"
`

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
