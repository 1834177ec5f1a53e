import { type Host, HostError } from '../hosts/host.ts'
import { isPartial } from '../stores/partial.ts'
import type { SeenFile } from './seen.ts'

/** What a folder on a host showed of itself. */
export interface SeenFolder {
  files: SeenFile[]
  room: { freeBytes: number; totalBytes: number }
  clockAheadSeconds: number
  /** What is mounted there, such as the NFS `host:/path`. */
  source?: string
}

export interface FolderPlace {
  folder: string
  /** A path that must be a mount point. */
  mount?: string
}

/**
 * Lists a folder on a host, without a trace there: nothing is written, not even to see whether it could be. Answers within a minute: a share whose
 * server is gone makes whatever touches it wait for ever. Throws HostError, also for a folder that is not there.
 */
export async function lookAtFolder(host: Host, { folder, mount }: FolderPlace): Promise<SeenFolder> {
  const asked = Date.now()
  const { exitCodes, stdout, stderr } = await host.run(listScript, [folder, mount ?? ''], {
    timeout: lookSeconds,
  })
  const answered = Date.now()
  if (exitCodes.includes(notMounted)) {
    throw new HostError(
      `${mount} is not mounted on ${host.name}: mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
    )
  }
  if (exitCodes.includes(notThere)) throw new NoSuchFolder(`there is no ${folder} on ${host.name}`)
  if (exitCodes.some((code) => code !== 0)) {
    const said = stderr.trim().split('\n').at(-1)
    throw new HostError(`${folder} cannot be listed on ${host.name}: ${said}`)
  }
  const seen: SeenFolder = { files: [], room: { freeBytes: 0, totalBytes: 0 }, clockAheadSeconds: 0 }
  for (const line of stdout.toString().split('\0')) read(line, seen, asked, answered)
  seen.files.sort((a, b) => (a.key < b.key ? -1 : 1))
  return seen
}

/** The folder that should hold a store is not there at all. */
export class NoSuchFolder extends HostError {}

/** The texts of small files below a folder, cut at 1 MiB; one that has gone meanwhile is left out. */
export async function readTexts(
  host: Host,
  folder: string,
  keys: readonly string[],
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  for (let from = 0; from < keys.length; from += batch) {
    const some = keys.slice(from, from + batch)
    const { exitCodes, stdout, stderr } = await host.run(readScript, [folder, ...some], {
      timeout: lookSeconds,
    })
    if (exitCodes.some((code) => code !== 0))
      throw new HostError(`files in ${folder} cannot be read on ${host.name}: ${stderr.trim()}`)
    for (const [index, line] of stdout.toString().split('\n').entries()) {
      const key = some[index]
      if (key !== undefined && line.startsWith('+'))
        texts.set(key, Buffer.from(line.slice(1), 'base64').toString())
    }
  }
  return texts
}

const lookSeconds = 60
/** So many names fit into one argument of ssh's far end, which may be 128 KiB. */
const batch = 200
const notMounted = 40
const notThere = 41

/** Prints records that end in NUL: "now SECONDS", "source NAME", "room FREE TOTAL" and "file BYTES MTIME CONTENT PATH", links to files followed. */
const listScript = `
[ -z "$2" ] || mountpoint -q -- "$2" || exit ${notMounted}
cd -- "$1" 2>/dev/null || exit ${notThere}
printf 'now %s\\0' "$(date +%s.%N)"
command -v findmnt >/dev/null && printf 'source %s\\0' "$(findmnt -n -o SOURCE --target . 2>/dev/null)"
set -- $(stat -f -c '%a %b %S' -- .) && printf 'room %s %s\\0' "$(($1 * $3))" "$(($2 * $3))"
find . -ignore_readdir_race -type f -printf 'file %s %T@ %D:%i %P\\0' -o -type l -xtype f -exec stat -L --printf 'file %s %Y %d:%i %n\\0' {} +
`

const readScript = `
cd -- "$1" || exit
shift
for name in "$@"; do
  if [ -f "$name" ]; then printf +; head -c 1048576 -- "$name" | base64 -w 0; fi
  echo
done
`

function read(line: string, seen: SeenFolder, asked: number, answered: number): void {
  const [kind, ...words] = line.split(' ')
  if (kind === 'now') {
    const theirs = Number(words[0]) * 1000
    // Between the question and the answer lies the moment at which the clock was read.
    const ahead = theirs > answered ? theirs - answered : Math.min(0, theirs - asked)
    seen.clockAheadSeconds = Math.round(ahead / 1000)
  } else if (kind === 'source') {
    seen.source = words.join(' ')
  } else if (kind === 'room') {
    seen.room = { freeBytes: Number(words[0]), totalBytes: Number(words[1]) }
  } else if (kind === 'file') {
    const key = words.slice(3).join(' ').replace(/^\.\//, '')
    const name = key.slice(key.lastIndexOf('/') + 1)
    // What a run has there for moments: an archive that is being written, and a test whether it may write.
    if (isPartial(name) || /^\.probe-\w{6}$/.test(name)) return
    const modified = new Date(Number(words[1]) * 1000)
    seen.files.push({ key, bytes: Number(words[0]), modified, content: words[2] as string })
  }
}
