import type { Host } from '../hosts/host.ts'
import { printable, quote } from '../text.ts'
import { CaptureError } from './capture.ts'

/** A file system that does not answer for this long hangs, because its server is gone. */
const hangSeconds = 10

/**
 * Bash: `hangs PATH` is true when the path's file system does not answer. A child asks, and is never waited
 * for. It uses statfs(2), because stat(2) may answer from a cache. With a second word, a link is not
 * followed.
 */
export const hangs = `
hangs() {
  read -r -t ${hangSeconds} < <({ [[ -z \${2-} || ! -L $1 ]] || exec true; exec stat -f -c . -- "$1"; } 2>/dev/null)
  (( $? > 128 )) || return 1
  kill -KILL "$!" 2>/dev/null || true
}
`

/** Asks why reading files below the host's root gives nothing. Undefined if their file systems answer. */
export function whyHanging(
  host: Host,
  files: readonly string[],
  { follow = true } = {},
): () => Promise<CaptureError | undefined> {
  const script = `${hangs}
for one in "\${@:2}"; do ! hangs "$1/$one" ${follow ? '' : 'link'} || { printf %s "$one"; break; }; done`
  return async () => {
    const timeout = hangSeconds * (files.length + 2)
    const { stdout } = await host.run(script, [host.root, ...files], { timeout })
    const file = stdout.toString()
    return file === ''
      ? undefined
      : new CaptureError(
          `${printable(file)} on ${host.name} began to hang while it was read: its file system gives no answer. ` +
            `On that host: findmnt -T ${quote(printable(file))}; see that its server is up, or unmount it (umount -l)`,
        )
  }
}

/**
 * Bash: find looks at every name before it can skip it, and hangs on a dead mount. So `take_apart PATH
 * MOUNT…` adds each mount to `mounts`, the folders above it to `tops` and all else to `trees`, from the
 * kernel's mount table. It skips what `patterns` match.
 */
export const takeApart = `
take_apart() {
  local path=$1 one below='' is_mount='' children
  shift
  for one in "\${patterns[@]}"; do [[ $path != $one ]] || return 0; done
  for one in "$@"; do
    [[ $path != "$one" ]] || is_mount=1
    [[ $one != "$path"/* ]] || below=1
  done
  if [[ -n $is_mount ]]; then
    mounts+=("$path")
  elif [[ -z $below ]]; then
    trees+=("$path")
  else
    tops+=("$path")
    shopt -s nullglob dotglob
    children=("$path"/*)
    shopt -u nullglob dotglob
    for one in "\${children[@]}"; do take_apart "$one" "$@"; done
  fi
}
`
