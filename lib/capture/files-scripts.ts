import { chooseCompressor } from './compressor.ts'
import { makeStage, sqliteLogs, stageDatabases } from './sqlite.ts'

/** What the scripts exit with when the host's root is not there. */
export const exitNoRoot = 40

/** Before each member's path on standard error, so that no path can pass for a message. */
export const memberMark = '+'

/**
 * Arguments of both scripts: the host's root; the number of sources; for each source its path and its name pattern
 * (or nothing); the exclude patterns. Paths and patterns are relative to the root.
 * find and tar read the patterns alike: from the start of the path, `*` also matching `/`.
 */
const takeArguments = `
cd -- "$1" || exit ${exitNoRoot}
count=$2
shift 2
paths=() found=()
for ((i = 0; i < count; i++)); do
  before=\${#paths[@]}
  if [[ -n $2 ]]; then
    shopt -s nullglob
    IFS= paths+=("$1"/$2)
    shopt -u nullglob
  elif [[ -e $1 || -L $1 ]]; then
    paths+=("$1")
  fi
  found[i]=$((\${#paths[@]} - before))
  shift 2
done
`

/**
 * On standard output: for each source how many paths it stands for, and a digest of every path below them with its type, size,
 * mtime, ctime, inode, mode, owner, group and link target; of a database's log not the ctime, which every reader changes.
 * On standard error: the number of files with content, their bytes, the newest change and the moment of asking, both in
 * seconds.
 */
export const surveyScript = `
${takeArguments}
for ((i = 0; i < count; i++)); do echo "source $i \${found[i]}"; done
[[ \${#paths[@]} -gt 0 ]] || exit 0
prune=()
for pattern in "$@"; do prune+=(-o -path "$pattern"); done
asked=$EPOCHREALTIME
printf 'fingerprint '
{
  find "\${paths[@]}" -ignore_readdir_race -xdev \\( -false "\${prune[@]}" \\) -prune -o \\
    \\( ${sqliteLogs.map((name) => `-name '${name}'`).join(' -o ')} \\) \\( \\
      -printf '%p\\0%y %s %T@ %i %m %U %G\\0' -type f -size +0 -fprintf /dev/fd/4 '%s %T@\\n' -o -true \\) -o \\
    -printf '%p\\0%y %s %T@ %C@ %i %m %U %G %l\\0' -type f -size +0 -fprintf /dev/fd/4 '%s %C@\\n' | sha256sum
} 4> >(awk -v asked="$asked" '
  { files++; bytes += $1; if ($2 > newest) newest = $2 }
  END { printf "total %d %.0f %.6f %.6f\\n", files, bytes, newest, asked }' >&2)
`

/**
 * The archive on standard output, and on standard error each member's path behind the mark. The same files give the
 * same bytes: sorted, numeric owners, no atime, nothing of the process in the headers.
 *
 * Both what tar lists and what it says go through a sed, which writes whole lines: tar writes its messages piece by
 * piece, and the two would run into each other.
 */
export const packScript = `
${takeArguments}
${chooseCompressor}
${stageDatabases}
${makeStage}
escape() {
  local text=\${1//\\\\/\\\\\\\\}
  text=\${text//\\*/\\\\*} text=\${text//\\?/\\\\?}
  printf '%s' "\${text//\\[/\\\\[}"
}
pack() (
  members=("\${paths[@]/#/--add-file=}")
  excludes=("\${@/#/--exclude=}")
  if command -v sqlite3 >/dev/null && make_stage; then
    trap 'rm -rf -- "$stage"' EXIT
    stage_databases "$@"
    for file in "\${databases[@]}"; do
      for suffix in '' -wal -journal; do excludes+=("--exclude=$(escape "$file$suffix")"); done
    done
    [[ \${#databases[@]} -eq 0 ]] || members+=(-C "$stage" "\${databases[@]/#/--add-file=$staged_root/}")
  fi
  tar --create --file=- --blocking-factor=128 --no-unquote --format=posix --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \\
    --sort=name --numeric-owner --xattrs --acls --sparse --sparse-version=0.0 --one-file-system \\
    --transform="s,^$staged_root/,,rSH" --show-transformed-names --quoting-style=escape \\
    --verbose --index-file=/dev/fd/4 \\
    --anchored --wildcards --wildcards-match-slash "\${excludes[@]}" "\${members[@]}" \\
    4> >(sed -u 's/^/${memberMark}/' >&2) 2> >(sed -u '' >&2)
)
pack "$@" | "\${compressor[@]}"
`
