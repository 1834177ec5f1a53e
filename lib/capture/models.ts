import type { Readable } from 'node:stream'
import { printLength } from '../acceptance.ts'
import { isModelPath, type ModelPaths } from '../copies.ts'
import { stepInto, withFile } from '../files/beneath.ts'
import type { Host, Outcome } from '../hosts/host.ts'
import { printable, unequalSizes } from '../text.ts'
import { CaptureError, complaint } from './capture.ts'
import { hangs, takeApart, whyHanging } from './mounts.ts'

/** A model file. `path` is relative to the models' folder and is also its key. */
export interface Model {
  path: string
  bytes: number
  /** The file's mtime. */
  modified: Date
  /** Size, times and inode on its host. Equal means the same file, not modified. */
  identity: string
}

export interface ModelListing {
  models: Model[]
  /** Incomplete: the size differs from the header, or an unfinished download is next to it. */
  unfinished: (Model & { why: string })[]
  /** Bad links, and names that cannot be keys: users count on these models, but they are not backed up. */
  broken: string[]
  /** Files and folders that no rule covers. */
  others: string[]
  /** Paths on file systems that do not answer, so their content is unknown. */
  hanging: string[]
}

export interface ModelSource extends ModelPaths {
  /** The models' folder below the host's root. */
  path: string
  /** A path on the host that must be a mount point. */
  mount?: string
}

/** The models on a host. Throws CaptureError if there are none. */
export async function listModels(host: Host, source: ModelSource): Promise<ModelListing> {
  const folder = below(host, source.path)
  const args = [folder, source.mount ?? '', source.extension, ...source.folders]
  const { stdout, stderr, exitCodes } = await host.run(listScript, args, { timeout: listSeconds })
  if (exitCodes.includes(exitHangs))
    throw new CaptureError(`${folder} on ${host.name} does not answer: its file system hangs`)
  if (exitCodes.includes(exitNotMounted))
    throw new CaptureError(`${source.mount} is not mounted on ${host.name}: the models are not there`)
  if (exitCodes.includes(exitNoModels))
    throw new CaptureError(`${folder} is not there on ${host.name}: no models to back up`)
  if (exitCodes.some((code) => code !== 0))
    throw new CaptureError(`${folder} cannot be listed on ${host.name}: ${stderr.trim().split('\n').at(-1)}`)

  const listing: ModelListing = { models: [], unfinished: [], broken: [], others: [], hanging: [] }
  for (const record of stdout.toString().split('\0')) {
    const [kind = '', ...rest] = record.split(' ')
    if (kind === 'model') {
      const path = rest.slice(4).join(' ')
      const identity = identityOf(rest.slice(0, 4))
      const [bytes, seconds] = rest.slice(0, 2).map(Number) as [number, number]
      // No honest listing has a path twice.
      if (listing.models.some((model) => model.path === path)) continue
      if (isKey(path) && isModelPath(path, source) && Number.isSafeInteger(bytes))
        listing.models.push({ path, bytes, modified: new Date(seconds * 1000), identity })
      else listing.broken.push(path)
    } else if (kind === 'broken') listing.broken.push(rest.join(' '))
    else if (kind === 'other') listing.others.push(rest.join(' '))
    else if (kind === 'hangs') listing.hanging.push(rest.join(' '))
  }
  if (listing.models.length === 0)
    throw new CaptureError(
      [
        `${folder} on ${host.name} holds no ${source.extension} file in ${source.folders.join(', ')}`,
        ...listing.hanging.map(hangsText),
      ].join('; '),
    )
  listing.models.sort((a, b) => (a.path < b.path ? -1 : 1))
  const lengths = await lengthsOf(host, folder, listing.models)
  const whole = listing.models.filter((model, index) => {
    const why = whyUnfinished(model, lengths[index], listing.others)
    if (why !== undefined) listing.unfinished.push({ ...model, why })
    return why === undefined
  })
  return { ...listing, models: whole }
}

/** Limits the wait when something starts to hang. */
const listSeconds = 600

/** The message for a path whose file system does not answer. */
export function hangsText(path: string): string {
  return `${printable(path)} hangs: its file system does not answer, so what is there is not backed up`
}

/** What no backup can take fails it; a download that grew in the last day may still finish. */
export function modelFlaws(
  { broken, unfinished }: ModelListing,
  now: Date,
): Record<'failures' | 'warnings', string[]> {
  const text = ({ path, why }: ModelListing['unfinished'][number]) =>
    `${printable(path)} is not whole yet (${printable(why)}): it is skipped until it is`
  const [stuck, growing] = [true, false].map((is) =>
    unfinished.filter(({ modified }) => now.getTime() - modified.getTime() > dayMs === is),
  ) as [ModelListing['unfinished'], ModelListing['unfinished']]
  return {
    failures: [
      ...broken.map(
        (path) =>
          `${printable(path)} is a dangling link, leads out of the models' folder, or has a name that no bucket accepts: it is not backed up`,
      ),
      ...stuck.map((model) => `${text(model)}, and has not grown for a day`),
    ],
    warnings: growing.map(text),
  }
}

const dayMs = 86_400_000

/** Each file's length in bytes by its safetensors header. NaN without a header. */
async function lengthsOf(host: Host, folder: string, models: readonly Model[]): Promise<number[]> {
  const args = [folder, ...models.map(({ path }) => path)]
  const { stdout, stderr, exitCodes } = await host.run(lengthsScript, args, { timeout: listSeconds })
  const lines = stdout.toString().split('\n').slice(0, -1)
  // A model that was not looked at could be half a download.
  if (exitCodes.some((code) => code !== 0) || lines.length !== models.length)
    throw new CaptureError(
      `the headers of the models in ${folder} cannot be read on ${host.name}: ${complaint({ stderr, exitCodes })}`,
    )
  return lines.map((line) => (line === '' ? Number.NaN : Number(line)))
}

/** Why a model is incomplete. Undefined if it is complete or unknown. `beside`: the other files. */
function whyUnfinished(
  { path, bytes }: Model,
  length = Number.NaN,
  beside: readonly string[],
): string | undefined {
  const download = unfinishedDownloads.find((end) => beside.includes(path + end))
  if (download !== undefined) return `${path + download} is next to it`
  if (length === 0) return 'it is empty, space reserved for a download, a Git LFS pointer or a web page'
  return Number.isNaN(length) || length === bytes
    ? undefined
    : `it has ${unequalSizes(bytes, length).join(', its header says ')}`
}

/** Suffixes of unfinished downloads by aria2, browsers, wget and others. */
const unfinishedDownloads = ['.aria2', '.part', '.crdownload', '.download', '.incomplete', '.tmp']

/** find prints more decimals than stat. */
function identityOf(words: readonly string[]): string {
  return words.map((word) => word.replace(/(?<=\.\d{9})\d+$/, '')).join(' ')
}

/**
 * A model's bytes. The stream fails if the file changes meanwhile. `onIdentity` gets its identity, unless it
 * changed so recently that another change could have the same times.
 */
export function readModel(
  host: Host,
  source: ModelSource,
  model: Pick<Model, 'path'>,
  onIdentity: (identity: string) => void = () => {},
): Readable {
  const onLine = (line: string) => {
    if (!line.startsWith(identityMark)) return false
    const words = line.slice(identityMark.length).split(' ')
    const [ctime, now] = [words[2], words[4]].map(Number) as [number, number]
    if (ctime < now - settledSeconds) onIdentity(identityOf(words.slice(0, 4)))
    return true
  }
  const args = [below(host, source.path), model.path]
  const judge = ({ exitCodes, stderr }: Outcome) => {
    if (exitCodes.includes(exitChanged)) {
      throw new CaptureError(
        `${model.path} changed while it was read on ${host.name}: it may still be downloading; the next run takes it`,
      )
    }
    if (exitCodes.some((code) => code !== 0)) {
      throw new CaptureError(
        `${model.path} could not be read completely on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    }
  }
  return host.stream(readScript, args, judge, {
    onLine,
    whySilent: whyHanging(host, [`${source.path}/${model.path}`]),
  })
}

/** Some file systems store times in steps of two seconds. */
const settledSeconds = 2

const identityMark = '='

/** A name that is not UTF-8 does not lead back to its file; lists cannot hold control characters. */
function isKey(path: string): boolean {
  return !path.includes('\uFFFD') && !/[\p{Cc}\\]/u.test(path)
}

function below(host: Host, path: string): string {
  return (host.root === '/' ? '' : host.root) + path
}

/** Exit codes: the folder is missing, the mount is missing, the file system hangs. */
const exitNoModels = 40
export const exitNotMounted = 41
const exitHangs = 43

/** Enters the models' folder, $1, and holds it. From there links lead only to places below it. */
const enterModels = `
${stepInto}
cd / && step_into "$1" || exit ${exitNoModels}
exec {top}<.
beneath=$1
`

/**
 * Arguments: the models' folder, a required mount point or nothing, the extension, the folders that count.
 * Prints NUL-terminated records: model SIZE MTIME CTIME INODE PATH (links followed), broken PATH (a bad
 * link), other PATH (no rule covers it), hangs PATH (its mount does not answer).
 */
export const listScript = `
${hangs}${takeApart}
! hangs "\${2:-$1}" && ! hangs "$1" || exit ${exitHangs}
[[ -z $2 ]] || mountpoint -q -- "$2" || exit ${exitNotMounted}
${enterModels}
extension=$3
shift 3
hung=() patterns=()
while read -r _ _ _ _ point _; do
  printf -v point %b "\${point//\\\\/\\\\0}"
  [[ $point != "\${PWD%/}"/* ]] || ! hangs "$point" || hung+=("$point")
done </proc/self/mountinfo
list() {
  local named=$1 above=$2 here entry entries one points=() trees=() tops=() mounts=()
  here=$(stat -c %d:%i .)
  [[ $above != *" $here "* ]] || return
  for one in "\${hung[@]}"; do
    [[ $one != "\${PWD%/}"/* ]] || points+=("./\${one#"\${PWD%/}/"}")
  done
  take_apart . "\${points[@]}"
  for one in "\${mounts[@]}"; do printf 'hangs %s/%s\\0' "$named" "\${one#./}"; done
  [[ \${#trees[@]} -gt 0 ]] || return 0
  mapfile -d '' -t entries < <(find "\${trees[@]}" -type f -name "*$extension" -printf 'model %s %T@ %C@ %i %p\\0' \\
    -o -type f -printf 'other %p\\0' -o -type l -printf 'link %p\\0' && printf 'end\\0')
  # Not wait "$!": bash 5.2 sometimes waits for ever for a child that has ended.
  [[ \${#entries[@]} -gt 0 && \${entries[-1]} == end ]] || exit 1
  unset 'entries[-1]'
  for entry in "\${entries[@]}"; do
    case $entry in
      model\\ *) entry=\${entry#model } && printf 'model %s %s/%s\\0' "\${entry%% ./*}" "$named" "\${entry#* ./}" ;;
      other\\ *) printf 'other %s/%s\\0' "$named" "\${entry#other ./}" ;;
      *) follow "$named/\${entry#link ./}" "$above$here " ;;
    esac
  done
}
follow() {
  if [[ \${#hung[@]} -gt 0 ]] && hangs "/proc/self/fd/$top/$1"; then
    printf 'hangs %s\\0' "$1"
  elif ! step_into "$1"; then
    printf 'broken %s\\0' "$1"
  elif [[ -z $file_name ]]; then
    list "$1" "$2" || printf 'broken %s\\0' "$1"
  elif [[ -f ./$file_name && $1 == *"$extension" ]]; then
    printf 'model %s %s\\0' "$(stat -c '%s %.Y %.Z %i' -- "./$file_name")" "$1"
  else
    printf 'other %s\\0' "$1"
  fi
}
declare -A counts
for folder in "$@"; do
  cd -P "/proc/self/fd/$top"
  counts[$folder]=1
  if hangs "$folder"; then printf 'hangs %s\\0' "$folder"
  elif [[ -d $folder ]]; then follow "$folder" " $(stat -c %d:%i .) "
  else counts[$folder]=''
  fi
done
cd -P "/proc/self/fd/$top"
shopt -s nullglob dotglob
for entry in *; do
  [[ -n \${counts[$entry]-} ]] || printf 'other %s\\0' "$entry"
done
`

/**
 * Arguments: the models' folder, paths below it. Prints for each the length by its safetensors header (8
 * bytes with the length of a JSON text that gives the tensors' offsets), or an empty line.
 */
export const lengthsScript = `
${withFile}${enterModels}
for model in "\${@:2}"; do
  length=
  ! step_into "$model" || [[ -z $file_name ]] || length=$(with_file "$file_name" perl -e '${printLength}' 2>/dev/null)
  echo "$length"
done
`

/**
 * Arguments: the models' folder, a path below it. Prints the bytes, and on standard error, after the mark,
 * the file's identity and the time. Exits with 42 if the file changed meanwhile.
 */
const exitChanged = 42
export const readScript = `
${withFile}${enterModels}
step_into "$2" && [[ -n $file_name ]] || { echo 'it is no longer there, or leads out of the folder of the models' >&2; exit 1; }
with_file "$file_name" sh -c '
  look() { stat -L -c "%s %.Y %.Z %i" /dev/stdin; }
  before=$(look) && echo "${identityMark}$before $(date +%s)" >&2 && cat && [ "$(look)" = "$before" ] || exit ${exitChanged}'
`
