import path from 'node:path'
import { text } from 'node:stream/consumers'
import {
  deviceTypes,
  type FoundSource,
  isAbsent,
  isUnread,
  keystonesOf,
  mustHaveOf,
  sourceName,
  tooLongPattern,
  type Warning,
  warningText,
  whatIsUnreadable,
  whyNoBackup,
  whyWorthless,
  whyWorthlessText,
} from '../acceptance.ts'
import { incrementComment } from '../chain.ts'
import { stepInto, withFile } from '../files/beneath.ts'
import type { Host, Outcome } from '../hosts/host.ts'
import type { Source } from '../inventory.ts'
import {
  type Capture,
  CaptureError,
  ChangedWhileRead,
  complaint,
  type Listing,
  listener,
  matcher,
  type OpenOptions,
  progressListener,
  type Stream,
  type Survey,
  tellProgress,
} from './capture.ts'
import { chooseCompressor } from './compressor.ts'
import { memberPath, readListing } from './listing.ts'
import { hangs, takeApart, whyHanging } from './mounts.ts'
import { makeFolder, sqliteLogs, sqliteSharedMemory, stageDatabases, tornMark } from './sqlite.ts'

/** Files and folders of a host as one tar archive, with paths relative to its root. */
export function filesCapture(host: Host, sources: readonly Source[]): Capture {
  // The archive must not lack more than the survey saw, because the fingerprint covers that.
  let known: ReadonlySet<string> = new Set()
  return {
    async survey() {
      const found = await survey(host, sources)
      if (found.state === 'there') known = new Set(found.warnings.filter(isUnread).map(({ path }) => path))
      return found
    },
    open: (acceptChanges, options) => pack(host, sources, packScript, acceptChanges, known, options),
    list: () => list(host, sources),
    async digest() {
      return (await text(pack(host, sources, digestScript, false, known).body)).slice(0, 64)
    },
  }
}

async function survey(host: Host, sources: readonly Source[]): Promise<Survey> {
  const named = sources.map(sourceName).join(', ')
  const kept = listener(named, host.name)
  const said: string[] = []
  const { stdout, stderr, exitCodes } = await host.run(surveyScript, scriptArguments(host, sources), {
    onLine: (line) => line.startsWith(surveyMark) && said.push(kept(line.slice(surveyMark.length))) > 0,
    whySilent: whySilent(host, sources),
  })
  checkBegun(named, host, exitCodes)
  const { found, lacking, racy, content, warnings } = readSurvey(sources, said)
  if (found.length < sources.length) throw notListed(named, host, { stderr, exitCodes })
  const unread = whatIsUnreadable(warnings)
  const flaw = whyNoBackup(sources, found, host.name)
  if (flaw !== undefined) throw new CaptureError([flaw, ...unread].join('; '))
  if (isAbsent(sources, found)) {
    if (unread.length > 0) throw new CaptureError(`on ${host.name}: ${unread.join('; ')}`)
    const what = found.every(({ is }) => is === 'missing') ? 'not' : 'nothing in it'
    return { state: 'absent', reason: `${named}: ${what} on ${host.name}, and optional` }
  }
  const fingerprint = /^fingerprint ([0-9a-f]{64})/.exec(stdout.toString())?.[1]
  const listed = exitCodes.every((code) => code === 0) || onlyVanished(stderr)
  if (!listed || fingerprint === undefined) throw notListed(named, host, { stderr, exitCodes })
  const worthless = whyWorthless({ lacking }) ?? (await whyKeystones(host, sources))
  if (worthless !== undefined) throw new CaptureError(`${named} on ${host.name}: ${worthless}`)
  return {
    state: 'there',
    fingerprint: racy === undefined ? fingerprint : `${fingerprint}-${racy}`,
    content,
    bytes: found.reduce((sum, { bytes }) => sum + bytes, 0),
    sources: found.flatMap(({ is, source, files, bytes }) =>
      is === 'hangs' ? [] : { source, files, bytes },
    ),
    warnings,
  }
}

/** Files that vanish during the listing need no backup. */
function onlyVanished(stderr: string): boolean {
  const lines = stderr.trimEnd().split('\n')
  return lines.every((line) => /^find: .*: No such file or directory$/.test(line))
}

/** Parses the script's marked lines: a word and its arguments. */
function readSurvey(sources: readonly Source[], said: readonly string[]) {
  const found: FoundSource[] = []
  const warnings: Warning[] = []
  const lacking: string[] = []
  let racy: string | undefined
  let content: string | undefined
  for (const line of said) {
    const [word = '', first = '', ...more] = line.split(' ')
    const source = found[Number(first)] as FoundSource
    if (word === 'is')
      found.push({
        source: sourceName(sources[Number(first)] as Source),
        is: more[0] as FoundSource['is'],
        files: 0,
        bytes: 0,
      })
    else if (word === 'holds') [source.files, source.bytes] = more.map(Number) as [number, number]
    else if (word === 'lacks') lacking.push(line.slice('lacks '.length))
    else if (word === 'racy') racy = first
    else if (word === 'content') content = first
    else if (word === 'future') warnings.push({ kind: 'future time', path: source.source })
    else if (word === 'left') warnings.push(leftOut(line))
  }
  for (const { is, source } of found) {
    if (is === 'link') warnings.push({ kind: 'source is a link', path: source })
    if (is === 'hangs') warnings.push({ kind: 'hangs', path: source })
  }
  return { found, lacking, racy, content, warnings }
}

/** `left KIND PATH`, where KIND has a dash for each space. */
function leftOut(line: string): Warning {
  const [, kind = '', ...path] = line.split(' ')
  return { kind: kind.replaceAll('-', ' ') as 'device', path: `/${path.join(' ')}` }
}

/** Without perl the file cannot be opened safely, so it is not judged. */
const exitNoPerl = 43

export const keystoneScript = `
${stepInto}${withFile}
command -v perl >/dev/null || exit ${exitNoPerl}
cd -- "$1" && step_into "$2" && with_file "$3" head -c 4194304
`

async function whyKeystones(host: Host, sources: readonly Source[]): Promise<string | undefined> {
  for (const keystone of keystonesOf(sources)) {
    const args = [host.root, path.dirname(relative(keystone.file)), path.basename(keystone.file)]
    const { stdout, exitCodes } = await host.run(keystoneScript, args, {
      whySilent: whyHanging(host, [keystone.file]),
    })
    if (exitCodes[0] === exitNoPerl) continue
    if (exitCodes[0] !== 0)
      return `its ${path.basename(keystone.file)} cannot be read as a plain file, so it would not come back`
    const flaw = whyWorthlessText(keystone, stdout.toString())
    if (flaw !== undefined) return flaw
  }
  return undefined
}

function pack(
  host: Host,
  sources: readonly Source[],
  script: string,
  acceptChanges: boolean,
  known: ReadonlySet<string>,
  { members: kept, chosen, onRead = () => {} }: OpenOptions = {},
): Stream {
  const named = sources.map(sourceName).join(', ')
  const changed: string[] = []
  const warnings: Warning[] = []
  const lacking = new Map(mustHaveOf(sources).map((pattern) => [pattern, matcher(pattern)]))
  const left: Warning[] = []
  const keep = listener(named, host.name)
  const isProgress = progressListener(onRead)
  const members = new Set<string>()
  let packed = 0

  function onLine(line: string): boolean {
    if (line.startsWith(memberMark)) {
      packed++
      if (kept) members.add(memberPath(line.slice(memberMark.length)))
      for (const [pattern, test] of lacking)
        if (test.test(line.slice(memberMark.length))) lacking.delete(pattern)
      return true
    }
    if (line.startsWith(digestMark)) {
      stream.tar = line.slice(digestMark.length).split(' ')[0] as string
      return true
    }
    if (line.startsWith(surveyMark)) {
      left.push(leftOut(keep(line.slice(surveyMark.length))))
      return true
    }
    if (line.startsWith(tornMark)) {
      warnings.push({ kind: 'torn database', path: `/${keep(line.slice(tornMark.length))}` })
      return true
    }
    const change = changedWhileRead.exec(line)
    if (change) changed.push(keep(change[1] ?? ''))
    const mount = otherFileSystem.exec(line)
    if (mount)
      warnings.push({ kind: 'other file system', path: `/${keep(mount[1] ?? '').replace(/\/$/, '')}` })
    return isProgress(line) || change !== null || mount !== null || line.endsWith(': socket ignored')
  }

  function judge({ exitCodes, stderr }: Outcome): void {
    const [tar = -1, ...others] = exitCodes
    checkBegun(named, host, exitCodes)
    // Before the exit codes: with nothing left to pack, tar complains about something else.
    const lost = left.find(({ path }) => !known.has(path))
    if (lost) throw new CaptureError(`${named} on ${host.name}: ${warningText(lost)}`)
    if (others.some((code) => code !== 0) || tar > 1 || tar < 0 || (tar === 1 && changed.length === 0)) {
      throw new CaptureError(
        `${named} could not be read completely on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    }
    // An increment may lack what earlier archives have. The survey judged the item already.
    if (packed === 0 && chosen === undefined)
      throw new CaptureError(`${named} on ${host.name}: tar packed nothing`)
    const flaw = chosen === undefined ? whyWorthless({ lacking: [...lacking.keys()] }) : undefined
    if (flaw !== undefined) throw new CaptureError(`${named} on ${host.name}: ${flaw}`)
    if (changed.length > 0 && !acceptChanges) throw new ChangedWhileRead(changed)
  }

  // The empty first path keeps the input from being empty, which would mean no input.
  const input = chosen && Buffer.from(['', ...chosen].map((file) => `${file}\0`).join(''), 'latin1')
  const body = host.stream(script, scriptArguments(host, sources), judge, {
    onLine,
    whySilent: whySilent(host, sources),
    ...(input && { input }),
  })
  const stream: Stream = { body, changed, warnings, ...(kept && { members }) }
  return stream
}

/** Every path of the sources, as the survey sees them. */
async function list(host: Host, sources: readonly Source[]): Promise<Listing | undefined> {
  const named = sources.map(sourceName).join(', ')
  const moments: number[] = []
  const body = host.stream(
    pathsScript,
    scriptArguments(host, sources),
    ({ exitCodes, stderr }) => {
      checkBegun(named, host, exitCodes)
      if (exitCodes.some((code) => code !== 0) && !onlyVanished(stderr))
        throw notListed(named, host, { stderr, exitCodes })
    },
    {
      onLine: (line) =>
        line.startsWith(surveyMark) && moments.push(Number(line.slice(surveyMark.length))) > 0,
      whySilent: whySilent(host, sources),
    },
  )
  return readListing(body, (time) => {
    const [began = 0, ended = 0] = moments
    return time > began - clockTickSeconds && time < ended + clockTickSeconds
  })
}

function notListed(named: string, host: Host, outcome: Outcome): CaptureError {
  return new CaptureError(`${named} cannot be listed completely on ${host.name}: ${complaint(outcome)}`)
}

/** Throws if the script could not begin, because then it says nothing about its sources. */
function checkBegun(named: string, host: Host, exitCodes: readonly number[]): void {
  if (exitCodes.includes(exitNoRoot)) throw new CaptureError(`there is no ${host.root} on ${host.name}`)
  if (exitCodes.includes(exitNoFolder))
    throw new CaptureError(
      `${named} on ${host.name}: no scratch folder can be made in /dev/shm, and none in /tmp. Free some space there`,
    )
  if (exitCodes.includes(exitSwapped))
    throw new CaptureError(
      `${named} on ${host.name}: a folder above it is a link that another user could change, or was replaced just now. Make it a folder, or mount it there (mount --bind)`,
    )
}

const changedWhileRead =
  /^tar: (.*): (?:file changed as we read it|File removed before we read it|File shrank by \d+ bytes; padding with zeros)$/
const otherFileSystem = /^tar: (.*): file is on a different filesystem; not dumped$/

function scriptArguments(host: Host, sources: readonly Source[]): string[] {
  const mustHave = mustHaveOf(sources)
  return [
    host.root,
    String(sources.length),
    ...sources.flatMap((source) => [relative(source.path), source.match ?? '']),
    String(mustHave.length),
    ...mustHave,
    ...sources.flatMap((source) => source.exclude ?? []).map(relative),
    ...sqliteSharedMemory,
  ]
}

function whySilent(host: Host, sources: readonly Source[]) {
  return whyHanging(
    host,
    sources.map(({ path, match }) => (match === undefined ? path : `${path}/`)),
    { follow: false },
  )
}

function relative(pattern: string): string {
  return pattern.replace(/^\/+/, '')
}

/** Exit codes: no root, no scratch folder, and another user could have redirected a source's folder. */
const exitNoRoot = 40
const exitSwapped = 41
const exitNoFolder = 42

/** Prefix of the survey's lines on standard error. */
export const surveyMark = '='

/** Prefix of members' paths on standard error, so that no path looks like a message. */
export const memberMark = '+'

/** Prefix of the archive's digest on standard error. */
const digestMark = '#'

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
const clockTickSeconds = 0.02

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

const digestScript = `
${packing}
pack "$@" | sha256sum
`
