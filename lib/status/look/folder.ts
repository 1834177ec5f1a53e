import path from 'node:path'
import { complaint } from '../../capture/capture.ts'
import { type Host, HostError } from '../../hosts/host.ts'
import { stores } from '../../inventory.ts'
import { nameOf } from '../../naming.ts'
import { lockFolder } from '../../stores/directory/probe.ts'
import { isPartial } from '../../stores/directory/write.ts'
import { listMembers } from './members.ts'
import type { Listing, Place } from './seen.ts'
import { folderBounds } from './wanted.ts'

/**
 * A folder on a host. Listing has a limit of a minute, because a share whose server is gone blocks forever.
 * `mount`: a path that must be a mount point. `ifNever`: what a missing folder means.
 */
export function folderPlace(
  store: 'sfs' | 'mello',
  host: Host,
  { folder, mount, ifNever }: { folder: string; mount?: string; ifNever: string },
): Place {
  const output = (script: string, key: string) =>
    host.stream(script, [path.join(folder, key)], (outcome) => {
      if (outcome.exitCodes.some((code) => code !== 0)) throw new HostError(complaint(outcome))
    })
  return {
    store,
    title: stores[store].title,
    folder,
    bounds: folderBounds,
    async list() {
      const asked = Date.now()
      const result = await host.run(listScript, [folder, mount ?? ''], { timeout: lookSeconds })
      const answered = Date.now()
      const { exitCodes, stdout, stderr } = result
      if (exitCodes.includes(notMounted))
        throw new HostError(
          `${mount} is not mounted on ${host.name}: mount the share; if that fails, grant it to this instance in Verda's console, "share settings"`,
        )
      if (exitCodes.includes(notThere)) throw new HostError(`there is no ${folder} on ${host.name}${ifNever}`)
      if (exitCodes.some((code) => code !== 0))
        throw new HostError(`${folder} cannot be listed on ${host.name}: ${stderr.trim().split('\n').at(-1)}`)
      return listingOf(stdout.toString(), asked, answered)
    },
    async read(keys) {
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
    },
    members: (key) => output(`exec <"$1" || exit\n${listMembers}`, key),
    open: (key) => output('cat -- "$1"', key),
  }
}

const lookSeconds = 60
/** This many names fit into one argument on ssh's far end, which may be 128 KiB. */
const batch = 200
const notMounted = 40
const notThere = 41

/**
 * Prints records that end in NUL: "now SECONDS", "source NAME", "room FREE TOTAL" and "file BYTES MTIME
 * CONTENT PATH", following links to files.
 */
const listScript = `
[ -z "$2" ] || mountpoint -q -- "$2" || exit ${notMounted}
cd -- "$1" 2>/dev/null || exit ${notThere}
printf 'now %s\\0' "$(date +%s.%N)"
command -v findmnt >/dev/null && printf 'source %s\\0' "$(findmnt -n -o SOURCE --target . 2>/dev/null)"
set -- $(stat -f -c '%a %b %S' -- .) && printf 'room %s %s\\0' "$(($1 * $3))" "$(($2 * $3))"
find . -ignore_readdir_race -type f -printf 'file %s %T@ %D:%i %P\\0' -o -type l -xtype f -exec stat -L --printf 'file %s %Y %d:%i %n\\0' {} +
`

/** Cuts each file at 1 MiB; of a list, prints only its head. */
const readScript = `
cd -- "$1" || exit
shift
for name in "$@"; do
  case $name in
    *.list.gz) read_it='gzip -dc 2>/dev/null | sed "/^#/!q"' ;;
    *) read_it=cat ;;
  esac
  if [ -f "$name" ]; then printf +; eval "$read_it" <"$name" | head -c 1048576 | base64 -w 0; fi
  echo
done
`

function listingOf(told: string, asked: number, answered: number): Listing {
  const listing: Listing = { files: [] }
  for (const line of told.split('\0')) {
    const [kind, ...words] = line.split(' ')
    if (kind === 'now') {
      const theirs = Number(words[0]) * 1000
      // The clock was read between question and answer.
      const ahead = theirs > answered ? theirs - answered : Math.min(0, theirs - asked)
      listing.clockAheadSeconds = Math.round(ahead / 1000)
    } else if (kind === 'source') {
      listing.source = words.join(' ')
    } else if (kind === 'room') {
      listing.room = { freeBytes: Number(words[0]), totalBytes: Number(words[1]) }
    } else if (kind === 'file') {
      const key = words.slice(3).join(' ').replace(/^\.\//, '')
      const name = nameOf(key)
      // A run's own files: locks, unfinished archives, and write tests.
      if (key.startsWith(`${lockFolder}/`) || isPartial(name) || /^\.probe-\w{6}$/.test(name)) continue
      const modified = new Date(Number(words[1]) * 1000)
      listing.files.push({ key, bytes: Number(words[0]), modified, content: words[2] })
    }
  }
  listing.files.sort((a, b) => (a.key < b.key ? -1 : 1))
  return listing
}
