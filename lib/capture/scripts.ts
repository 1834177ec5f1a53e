import { deviceTypes, tooLongPattern } from '../acceptance.ts'
import { incrementComment } from '../chain.ts'
import { stepInto, withFile } from '../files/beneath.ts'
import { tellProgress } from './capture.ts'
import { chooseCompressor } from './compressor.ts'
import { hangs, takeApart } from './mounts.ts'
import { makeFolder, sqliteLogs, stageDatabases } from './sqlite.ts'

/**
 * The bash that runs where the files are: it lists, judges and packs them. files.ts starts it and reads what
 * it prints.
 */

/** Exit codes: no root, no scratch folder, and another user could have redirected a source's folder. */
export const exitNoRoot = 40
export const exitSwapped = 41
export const exitNoFolder = 42

/** Prefix of the survey's lines on standard error. */
export const surveyMark = '='

/** Prefix of members' paths on standard error, so that no path looks like a message. */
export const memberMark = '+'

/** Prefix of the archive's digest on standard error. */
export const digestMark = '#'

/**
 * Arguments: root; number of sources, then path and name pattern (or '') of each; number of required
 * patterns, then these; exclude patterns. find and tar match from the path's start, and `*` matches `/`. In
 * $views/NUMBER a source's parent is a link to the held folder, so no name in its path can be swapped.
 */
const takeArguments = `
cd -- "$1" || exit ${exitNoRoot}
exec {top}<.
root=$(pwd -P)
count=$2
shift 2
make_folder /dev/shm || make_folder "\${TMPDIR:-/tmp}" || exit ${exitNoFolder}
views=$folder
trap 'rm -rf -- "$views"' EXIT
sources=() matches=() parents=() found=() hung=() closed=()
for ((i = 0; i < count; i++)); do
  sources+=("$1") matches+=("$2") parents+=('') found+=(0) hung+=('') closed+=('')
  if hangs "/proc/self/fd/$top/$1\${2:+/}" link; then
    hung[i]=$1\${2:+/$2}
    shift 2
    continue
  fi
  folder=$1/
  [[ -n $2 ]] || folder=\${1%"\${1##*/}"}
  view=$views/$i/\${folder%/} view=\${view%/}
  mkdir -p -- "\${view%/*}" || exit ${exitNoFolder}
  cd -P "/proc/self/fd/$top"
  step_into "$folder"
  is=$?
  # Held and listed is only what can be read.
  [[ $is != 0 || -r . ]] || { [[ -z $2 ]] && is_gone "./\${1##*/}"; } || is=3
  case $is in
    0)
      exec {parent}<.
      parents[i]=$parent
      ln -s "/proc/self/fd/$parent" "$view" || exit ${exitNoFolder}
      ;;
    1) ;;
    3)
      at=$(pwd -P)/$closed_name
      at=\${at#"\${root%/}/"}
      closed[i]=\${at%/}
      ;;
    *) exit ${exitSwapped} ;;
  esac
  see "$i"
  [[ -z \${parents[i]} || -e $view ]] || exit ${exitSwapped}
  found[i]=\${#paths[@]}
  [[ -n $2 || -z \${parents[i]} || -n $paths ]] || is_gone "$1" || closed[i]=$1
  shift 2
done
must=("\${@:2:$1}")
shift "$((1 + $1))"
patterns=("$@")
for pattern in "$@"; do prune+=(-o -path "$pattern"); done
`

/**
 * `see SOURCE` enters a source's view. It sets `paths` below $above, which $parent holds, and find's `trees`,
 * `tops` (folders above mounts) and `mounts`.
 */
const see = `
${takeApart}
prune=() patterns=()
see() {
  local source=\${sources[$1]} match=\${matches[$1]} path
  paths=() tops=() trees=() mounts=() parent=\${parents[$1]} above=\${source%"\${source##*/}"}
  [[ -n $parent ]] || return 0
  # Without its view a source would look as if nothing were there.
  cd -P "$views/$1" || exit ${exitSwapped}
  if [[ -n $match ]]; then
    above=$source/
    shopt -s nullglob
    IFS= paths=("$source"/$match)
    shopt -u nullglob
  elif [[ -L $source || -e $source ]]; then
    paths=("$source")
  fi
  for path in "\${paths[@]}"; do
    if [[ -L $path || ! -d $path ]]; then trees+=("$path")
    else spread "$path" "$(realpath -- "$path")"; fi
  done
}
spread() {
  local IFS=' ' real=$2 dev point own='' top='' points=()
  while read -r _ _ dev _ point _; do
    printf -v point %b "\${point//\\\\/\\\\0}"
    if [[ $real/ == "\${point%/}"/* && \${#point} -ge \${#top} ]]; then own=$dev top=$point; fi
  done </proc/self/mountinfo
  while read -r _ _ dev _ point _; do
    printf -v point %b "\${point//\\\\/\\\\0}"
    [[ $dev == "$own" || $point != "\${real%/}"/* ]] || points+=("$1/\${point#"\${real%/}/"}")
  done </proc/self/mountinfo
  take_apart "$1" "\${points[@]}"
}
look() {
  local at failed=0
  for ((at = 0; at < \${#tops[@]}; at += 300)); do
    find "\${tops[@]:at:300}" -maxdepth 0 -ignore_readdir_race \\( -false "\${prune[@]}" \\) -prune -o "$@" || failed=1
  done
  for ((at = 0; at < \${#trees[@]}; at += 300)); do
    find "\${trees[@]:at:300}" -ignore_readdir_race -xdev \\( -false "\${prune[@]}" \\) -prune -o "$@" || failed=1
  done
  return "$failed"
}
`

/** File times advance in ticks of the kernel's clock. */
export const clockTickSeconds = 0.02

/** The types that acceptance.ts leaves out, as a find expression. */
const isDevice = `\\( ${deviceTypes.map((type) => `-type ${type}`).join(' -o ')} \\)`

/**
 * What this user may not read. Checked before tar runs, because no tar error is tolerated. Checked twice,
 * because a file that just vanished is unreadable too.
 */
const isUnreadable =
  '\\( -type f ! -readable -exec test -e {} -a ! -r {} \\; -o ' +
  '-type d ! \\( -readable -executable \\) -exec test -e {} -a ! \\( -r {} -a -x {} \\) \\; \\)'

/** Bash: turns NUL-terminated paths, after a word or two, into marked lines on standard error. */
const tellPaths = `tr '\\n\\0' '?\\n' | sed -u 's/^/${surveyMark}/' >&2`

/**
 * Bash: prints all that `look` finds. Descriptor 4 gets the files with content and their newest time, 5 what
 * is left out, 6 what a restore brings back.
 */
const printAll = `
    for ((i = 0; i < count; i++)); do
      see "$i"
      look -path '${tooLongPattern}' -fprintf /dev/fd/5 'left path-too-long %p\\0' -prune -o \\
        ${isDevice} -fprintf /dev/fd/5 'left device %p\\0' -o \\
        ${isUnreadable} -fprintf /dev/fd/5 'left unreadable %p\\0' -printf '%p\\0unreadable\\0' -prune -o \\
        \\( -type d -fprintf /dev/fd/6 'd %T@ %m %U %G %p\\0' -o -fprintf /dev/fd/6 '%y %s %T@ %m %U %G %l\\n%p\\0' \\) -false -o \\
        \\( ${sqliteLogs.map((name) => `-name '${name}'`).join(' -o ')} \\) \\( \\
          -printf '%p\\0%y %s %T@ %i %m %U %G\\0' -type f -size +0 -fprintf /dev/fd/4 "$i %s %T@\\n" -o -true \\) -o \\
        -printf '%p\\0%y %s %T@ %C@ %i %m %U %G %l\\0' -type f -size +0 -fprintf /dev/fd/4 "$i %s %C@\\n" || failed=1
    done
`

/**
 * Prints a digest of all paths and attributes, without ctimes of database logs, which readers change. Marked
 * lines: is SOURCE there|missing|link|hangs|closed (one for each source), content DIGEST, holds SOURCE FILES
 * BYTES, lacks PATTERN, left KIND PATH, future SOURCE, racy MOMENT (another change could keep the same times).
 */
export const surveyScript = `
${makeFolder}${stepInto}${hangs}${see}
survey() (
  ${takeArguments}
  for ((i = 0; i < count; i++)); do
    if [[ -n \${hung[i]} ]]; then
      echo "${surveyMark}is $i hangs" >&2
    elif [[ -n \${closed[i]} ]]; then
      echo "${surveyMark}is $i closed" >&2
      printf 'left closed %s\\0' "\${closed[i]}" | ${tellPaths}
    elif [[ \${found[i]} == 0 ]]; then
      echo "${surveyMark}is $i missing" >&2
    else
      see "$i"
      is=there
      [[ -n \${matches[i]} || ! -L $paths ]] || is=link
      echo "${surveyMark}is $i $is" >&2
      [[ \${#mounts[@]} -eq 0 ]] || printf 'left other-file-system %s\\0' "\${mounts[@]}" | sort -zu | ${tellPaths}
    fi
  done
  [[ "\${found[*]}" == *[1-9]* ]] || exit 0
  for pattern in "\${must[@]}"; do
    has=
    for ((i = 0; i < count; i++)); do
      see "$i"
      [[ -n $has ]] || has=$(look -path "$pattern" -readable -type f -size +0 -printf 1 -quit 2>/dev/null)
    done
    [[ -n $has ]] || echo "${surveyMark}lacks $pattern" >&2
  done
  asked=$EPOCHREALTIME
  printf 'fingerprint '
  {
    ${printAll}
    [[ -z \${failed-} ]]
  } 4> >(awk -v asked="$asked" '
    { files[$1]++; bytes[$1] += $2 }
    $3 > asked + ${clockTickSeconds} { future[$1] = 1; next }
    $3 > newest { newest = $3 }
    END {
      for (i in files) printf "${surveyMark}holds %d %d %.0f\\n", i, files[i], bytes[i]
      for (i in future) print "${surveyMark}future " i
      if (newest > asked - ${clockTickSeconds}) printf "${surveyMark}racy %.6f\\n", asked
    }' >&2) 5> >(${tellPaths}) 6> >(sort -z | sha256sum | sed -u 's/^/${surveyMark}content /' >&2) | sha256sum
)
survey "$@"
`

/** Prints the same paths, compressed. Marked lines give the times before and after the listing. */
export const pathsScript = `
${makeFolder}${stepInto}${hangs}${see}${chooseCompressor}
list() (
  ${takeArguments}
  echo "${surveyMark}$EPOCHREALTIME" >&2
  {
    ${printAll}
  } 4>/dev/null 5>/dev/null 6>/dev/null
  echo "${surveyMark}$EPOCHREALTIME" >&2
  [[ -z \${failed-} ]]
)
list "$@" | "\${compressor[@]}"
`

/**
 * The archive on standard output. On standard error, each after its mark: its digest and its members' paths.
 * Equal files give equal bytes. sed writes whole lines, because tar's messages come in pieces and would mix
 * with its list.
 */
const packing = `
${makeFolder}${stepInto}${hangs}${see}${stageDatabases}
escape() {
  local text=\${1//\\\\/\\\\\\\\}
  text=\${text//\\*/\\\\*} text=\${text//\\?/\\\\?}
  printf '%s' "\${text//\\[/\\\\[}"
}
only_chosen() {
  if [[ -z \${chosen-} ]]; then cat; else sort -z | comm -z12 - "$chosen"; fi
}
pack() (
  ${takeArguments}
  members=() excludes=("\${@/#/--exclude=}") increment=()
  : >"$views/left"
  chosen=''
  if [[ -n \${comfyume_input-} ]]; then
    chosen=$views/chosen
    cat <&"$comfyume_input" >"$chosen"
    increment=(--pax-option='comment=${incrementComment},globexthdr.name=comfyume-backup-increment,globexthdr.mtime=0' -T /dev/null)
  fi
  if command -v perl >/dev/null && make_folder "\${TMPDIR:-/tmp}"; then
    stage=$folder
    trap 'rm -rf -- "$views" "$stage"' EXIT
  fi
  for ((i = 0; i < count; i++)); do
    [[ -z \${hung[i]} ]] || printf 'left hangs %s\\0' "\${hung[i]}" | ${tellPaths}
    [[ -z \${closed[i]} ]] || printf 'left closed %s\\0' "\${closed[i]}" | ${tellPaths}
    see "$i"
    [[ \${#paths[@]} -gt 0 ]] || continue
    members+=(-C "$views/$i" "\${paths[@]/#/--add-file=}")
    while IFS= read -r -d '' file; do
      if [[ $file =~ ^[[:alnum:]./_-]+$ ]]; then echo "$file" >>"$views/left"
      else excludes+=("--exclude=$(escape "$file")"); fi
    done < <(
      [[ \${#mounts[@]} -eq 0 ]] || printf '%s\\0' "\${mounts[@]}"
      look \\( ${isDevice} -o ${isUnreadable} -fprintf /dev/fd/5 'left unreadable %p\\0' \\) -print0 -prune 5> >(${tellPaths})
    )
    # Everything else is excluded, so that tar still enters folders. What a file of patterns cannot name is packed again.
    [[ -z \${chosen-} ]] ||
      look -print0 | sort -z | comm -z23 - "$chosen" | sed -z '/\\n/d; /[[:space:]]$/d' | tr '\\0' '\\n' >>"$views/left"
    stage_databases "$above"
  done
  for file in "\${databases[@]}"; do
    for suffix in '' -wal -journal; do excludes+=("--exclude=$(escape "$file$suffix")"); done
  done
  [[ \${#copies[@]} -eq 0 ]] || members+=(-C "$stage" "\${copies[@]/#/--add-file=}")
  tar --create --file=- ${tellProgress} --no-unquote --format=posix --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' \\
    --sort=name --numeric-owner --xattrs --acls --sparse --sparse-version=0.0 --one-file-system \\
    --transform="s,^$staged_root/,,rSH" --show-transformed-names --quoting-style=escape \\
    --verbose --index-file=/dev/fd/4 "\${increment[@]}" \\
    --anchored --no-wildcards --exclude-from="$views/left" --wildcards --wildcards-match-slash --exclude='${tooLongPattern}' "\${excludes[@]}" "\${members[@]}" \\
    4> >(sed -u 's/^/${memberMark}/' >&2) 2> >(sed -u '' >&2)
)
`

export const packScript = `
${packing}${chooseCompressor}
pack "$@" | tee >(sha256sum | sed -u 's/^/${digestMark}/' >&2) | "\${compressor[@]}"
`

export const digestScript = `
${packing}
pack "$@" | sha256sum
`

/** Without perl the file cannot be opened safely, so it is not judged. */
export const exitNoPerl = 43

export const keystoneScript = `
${stepInto}${withFile}
command -v perl >/dev/null || exit ${exitNoPerl}
cd -- "$1" && step_into "$2" && with_file "$3" head -c 4194304
`
