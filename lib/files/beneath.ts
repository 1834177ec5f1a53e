import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/**
 * Law 14: another user can replace a name in a writable folder with a link at any moment. So enter folders
 * name by name, hold each one open, and reach its content without following links.
 */
export interface Held extends AsyncDisposable {
  /** A path to the held folder for this process and its children, even after a rename. */
  path: string
  at(name: string): string
  about: FileHandle['stat']
  chown: FileHandle['chown']
  chmod: FileHandle['chmod']
}

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/**
 * Holds a folder, a path of bytes (latin1). `link`: its last name may be a link, otherwise ENOTDIR or ELOOP.
 */
export async function hold(folder: string, { link = false } = {}): Promise<Held> {
  const handle = await open(Buffer.from(folder, 'latin1'), O_RDONLY | O_DIRECTORY | (link ? 0 : O_NOFOLLOW))
  const path = `/proc/${process.pid}/fd/${handle.fd}`
  return {
    path,
    at: (name) => `${path}/${name}`,
    about: handle.stat.bind(handle),
    chown: handle.chown.bind(handle),
    chmod: handle.chmod.bind(handle),
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

/** Opens a regular file, a path of bytes (latin1). Throws ELOOP for a link, EINVAL for anything else. */
export async function openFile(file: string, flags = O_RDONLY): Promise<FileHandle> {
  const handle = await open(Buffer.from(file, 'latin1'), flags | O_NOFOLLOW | O_NONBLOCK, 0o600)
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw Object.assign(new Error(`${file} is not a regular file`), { code: 'EINVAL', path: file })
}

/** Whether only root and this user can put a link into a folder. */
export function isOurs({ uid, mode }: { uid: number | bigint; mode: number | bigint }): boolean {
  return (Number(uid) === 0 || Number(uid) === process.getuid?.()) && (Number(mode) & 0o022) === 0
}

/**
 * `step_into PATH` in bash. Returns 1 if it does not exist, 2 if another user could redirect it, 3 if
 * `$closed_name` cannot be entered. With `$beneath`, the path of the folder `$top`, PATH starts there: links
 * may stay below it, and a final file name goes to `$file_name`.
 */
export const stepInto = `
is_ours() {
  local owner mode
  read -r owner mode <<<"$(stat -c '%u %a' .)"
  [[ $owner == 0 || $owner == "$EUID" ]] && (( (8#$mode & 8#22) == 0 ))
}
is_gone() {
  ! command -v perl >/dev/null || perl -e 'exit(lstat($ARGV[0]) || !($!{ENOENT} || $!{ENOTDIR}))' -- "$1"
}
step_into() {
  local rest=$1/ part is to past='' links=0
  file_name='' closed_name=''
  [[ -z \${beneath-} ]] || cd -P "/proc/self/fd/$top" || return 1
  while [[ -n $rest ]]; do
    part=\${rest%%/*} rest=\${rest#*/}
    [[ -n $part && $part != . ]] || continue
    if [[ ! -L ./$part && ! -d ./$part ]]; then
      if [[ -z \${beneath-} || -n $rest || ! -e ./$part ]]; then
        is_gone "./$part" && return 1
        [[ ! -e ./$part ]] || return 1
        closed_name=$part
        return 3
      fi
      file_name=$part
      return 0
    fi
    if [[ -L ./$part ]] && { [[ -n \${beneath-} ]] || is_ours; }; then
      (( ++links <= 40 )) || return 2
      to=$(readlink -n -- "./$part" && printf /) || return 2
      if [[ -n \${beneath-} ]]; then
        [[ $to == /* ]] || to=$beneath/$past$to
        to=$(realpath -ms -- "$to" && printf /) to=\${to/%$'\\n/'/'/'}
        [[ $to == "$beneath"/* ]] || return 2
        to=\${to#"$beneath"/} past=''
        cd -P "/proc/self/fd/$top" || return 1
      elif [[ $to == /* ]]; then
        cd / || return 1
      fi
      rest=$to$rest
      continue
    fi
    if [[ ! -x ./$part ]]; then
      closed_name=$part
      return 3
    fi
    is=$(stat -c %d:%i -- "./$part") && cd -P -- "./$part" && [[ $(stat -c %d:%i .) == "$is" ]] || return 2
    past+=$part/
  done
} 2>/dev/null
`

/** Bash: `with_file NAME COMMAND…` runs a command on a regular file of the current folder as its input. */
export const withFile = `
with_file() {
  perl -e '
    use Fcntl;
    my $name = shift;
    sysopen(my $file, "./$name", O_RDONLY | O_NOFOLLOW | O_NONBLOCK) or die "$name cannot be opened as a file: $!\\n";
    -f $file or die "$name is no file\\n";
    open(STDIN, "<&", $file) and exec @ARGV;
    die "$ARGV[0] cannot be started: $!\\n"' -- "$@"
}
`
