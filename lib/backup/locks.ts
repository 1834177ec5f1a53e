import { createHash } from 'node:crypto'
import { hostname, tmpdir } from 'node:os'
import { createInterface } from 'node:readline'
import { bash, type Child, start, within } from '../hosts/process.ts'
import type { BucketName, StoreName } from '../inventory.ts'
import type { Settings } from '../settings/settings.ts'
import { type DirectoryOptions, lockFolder } from '../stores/directory/probe.ts'
import { directoryOf, objectStoreAccess } from '../stores/open.ts'
import { groupBy } from '../text.ts'

export interface Locks {
  /** Items that this run may work on until `release`. */
  held: Set<string>
  /** Items held by another process, with what is known of it: `pid 123 (backup-cron since …)`. */
  busy: Map<string, string>
  /** Those held by a process on another machine. */
  elsewhere: Set<string>
  /** Items that run without a lock, or with a weaker one, and why. */
  warnings: string[]
  release(): Promise<void>
}

/** One item in one store. */
export interface Lock {
  item: string
  /** Unique in the store. */
  name: string
  /** Identifies the store, whatever the other settings are. */
  store: string
  /** Where the lock also excludes other machines and users; absent: only this user's runs here. */
  folder?: Omit<DirectoryOptions, 'name'> | undefined
}

/**
 * Takes all locks, waiting up to `waitSeconds`; an item is busy if any of its locks is. They are flock locks
 * of the kernel or the NFS server, held by a child as long as this process lives, so killed runs leave none.
 * A lock that cannot be made never stops a run.
 */
export async function takeLocks(locks: readonly Lock[], command: string, waitSeconds = 0): Promise<Locks> {
  const holders: Holder[] = []
  const taken: Locks = {
    held: new Set(),
    busy: new Map(),
    elsewhere: new Set(),
    warnings: [],
    async release() {
      for (const holder of holders.splice(0)) await holder.end()
    },
  }
  const deadline = Date.now() + waitSeconds * 1000
  // A restore only finds stores and creates none.
  const make = command !== 'restore'
  const note = `${process.pid}@${hostname()} ${command} ${new Date().toISOString()}`
  /** Returns the locks that could not be made there, and why. */
  async function takeIn(place: Place, some: readonly Lock[], nameOf: (lock: Lock) => string) {
    const free = some.filter(({ item }) => !taken.busy.has(item))
    if (free.length === 0) return { failed: [], why: '' }
    const seconds = Math.max(0, Math.ceil((deadline - Date.now()) / 1000))
    const holder = await hold(place, free.map(nameOf), note, seconds)
    holders.push(holder)
    for (const [index, lock] of free.entries()) {
      const answer = holder.answers[index]
      if (answer?.busy === undefined) continue
      const [text, isElsewhere] = holderInWords(answer.busy)
      taken.busy.set(lock.item, text)
      if (isElsewhere) taken.elsewhere.add(lock.item)
    }
    const failed = free.filter((_, index) => holder.answers[index] === undefined)
    return { failed, why: holder.why }
  }

  const onShares = groupBy(locks, ({ folder }) => folder?.root)
  let left: readonly Lock[] = onShares.get(undefined) ?? []
  for (const [root, some] of onShares) {
    if (root === undefined) continue
    const place = { ...some[0].folder, above: root, folder: lockFolder, shared: true, make }
    const { failed, why } = await takeIn(place, some, ({ name }) => name)
    // The store's own check reports a share that is not mounted.
    if (why !== '')
      taken.warnings.push(
        `no lock in ${root}/${lockFolder}, so only runs on this machine exclude each other: ${why}`,
      )
    left = [...left, ...failed]
  }
  const problems: string[] = []
  for (const above of ownFolders()) {
    if (left.length === 0) break
    const place = { above, folder: `comfyume-backup-${process.getuid?.()}` }
    const { failed, why } = await takeIn(place, left, ownName)
    if (why !== '') problems.push(`no lock in ${above}/${place.folder}: ${why}`)
    left = failed
  }
  if (left.length > 0) problems.push(`${[...new Set(left.map(({ item }) => item))].join(', ')}: not locked`)
  taken.warnings.push(...problems)
  // Items that another run holds must stay free for a third.
  const isBusy = ({ item }: Lock) => taken.busy.has(item)
  for (const holder of holders)
    holder.drop(locks.filter(isBusy).flatMap((lock) => [lock.name, ownName(lock)]))
  for (const lock of locks) if (!isBusy(lock)) taken.held.add(lock.item)
  return taken
}

/** The locks of items for these stores; an item without stores has its repository's. */
export function locksOf(
  jobs: readonly { item: string; targets: readonly { store: StoreName; bucket: BucketName }[] }[],
  settings: Settings,
): Lock[] {
  return jobs.flatMap(({ item, targets }) => {
    const name = `${settings.environment}-${item}`
    if (targets.length === 0) return [{ item, name, store: `git ${settings.repositories.credentials}` }]
    return targets.map(({ store, bucket }) => {
      if (store === 'sfs' || store === 'mello') {
        const folder = directoryOf(store, settings)
        return { item, name, store: folder.root, folder }
      }
      const access = objectStoreAccess(store, bucket, settings)
      return { item, name, store: `${new URL(access.endpoint).host} ${access.bucket}` }
    })
  })
}

/** Folders of this machine for locks, best first. Some systems reserve the first for root. */
const ownFolders = () => ['/run/lock', tmpdir(), '/var/tmp']

function ownName({ store, name }: Lock): string {
  return `${createHash('sha256').update(store).digest('hex').slice(0, 12)}-${name}.lock`
}

function holderInWords(note: string): [text: string, isElsewhere: boolean] {
  const [, pid, host, command, since] = /^(\d+)@([\w.-]+) ([\w-]+) ([\w:.-]+)$/.exec(note) ?? []
  if (pid === undefined) return ['another process', false]
  const isElsewhere = host !== hostname()
  return [`pid ${pid}${isElsewhere ? ` on ${host}` : ''} (${command} since ${since})`, isElsewhere]
}

interface Place {
  /** The locks' folder is created in this one. */
  above: string
  folder: string
  /** Anyone with write access to `above` may take locks too. Otherwise this user must own the folder. */
  shared?: boolean
  mount?: string | undefined
  /** Creates `above`, as a store does on its first write. */
  make?: boolean
}

/** A child that holds the locks of one place. */
interface Holder {
  /** One per file; empty if none could be locked. */
  answers: ({ fd: string; busy?: undefined } | { busy: string })[]
  /** Why not; empty if there is nothing to report. */
  why: string
  /** Releases some of its locks. */
  drop(files: readonly string[]): void
  end(): Promise<void>
}

/** A share whose server is gone never answers. This machine's own folders do, but late when it is busy. */
const answerSeconds = 10
const ownSeconds = 60

/** Takes the locks of one place. Never throws for problems of the place. */
async function hold(place: Place, files: readonly string[], note: string, wait: number): Promise<Holder> {
  const { above, folder, shared = false, mount = '', make = false } = place
  const words = [note, String(wait), above, folder, mount, shared ? 'yes' : '', make ? 'yes' : '', ...files]
  const child = await start(bash(script, words), { ignore: ['stderr'] })
  const holder: Holder = {
    answers: [],
    why: '',
    drop(some) {
      for (const [index, answer] of holder.answers.entries())
        if (some.includes(files[index] as string) && answer && 'fd' in answer)
          child.stdin.write(`${answer.fd}\n`)
    },
    end: () => end(child),
  }
  const read = async () => {
    let answered = 0
    for await (const line of createInterface(child.stdout)) {
      const [word, rest = ''] = line.split(/ (.*)/s)
      if (word === 'held') holder.answers[answered++] = { fd: rest }
      else if (word === 'busy') holder.answers[answered++] = { busy: rest }
      else if (word === 'failed') answered++
      else holder.why = line.replace(/^bash: line \d+: /, '')
      if (answered === files.length) break
    }
    const failed = files.some((_, index) => holder.answers[index] === undefined)
    if (!failed || holder.why === silent) holder.why = ''
    else holder.why ||= 'it cannot be made'
  }
  const seconds = shared ? answerSeconds : ownSeconds
  await within(wait + seconds, read(), () => new Error('late')).catch(() => {
    // The run goes on without it, so it must release locks that it still gets.
    holder.answers = []
    holder.why = `no answer for ${seconds} s`
    child.kill()
  })
  child.unref()
  return holder
}

/** A lock on a hanging share cannot be returned; the server drops it. */
async function end(child: Child): Promise<void> {
  // Otherwise Node exits with 0 once nothing is left to wait for, whatever the run's result.
  child.ref()
  child.stdout.resume()
  child.stdin.end()
  await within(answerSeconds, child.ended, () => new Error('late')).catch(() => child.kill())
}

/** A missing lock here needs no report. */
const silent = 'silent'

/**
 * Others with write access could plant links: so it enters the folder, checks it, and writes to a file only
 * after checking its descriptor. A file keeps its content until it is locked, since that names the holder.
 * The last read ends with this process, and so do the locks.
 */
const script = `
exec 2>&1
umask 077
note=$1 wait=$2 above=$3 folder=$4 mount=$5 shared=$6 make=$7
shift 7
deadline=$((SECONDS + wait))
if [ -n "$mount" ] && ! mountpoint -q -- "$mount"; then echo '${silent}'; exit 1; fi
if [ "$above" = /run/lock ] && [ ! -w "$above" ]; then echo '${silent}'; exit 1; fi
if [ -n "$make" ]; then mkdir -p -- "$above" || exit 1; fi
cd -P -- "$above" || exit 1
above=$(readlink "/proc/$$/cwd")
if [ -n "$shared" ]; then umask "$(printf %o $((8#77 & ~((8#$(stat -c %a .) & 8#22) * 7 / 2))))"; fi
[ -d "$folder" ] || mkdir -- "$folder" || [ -d "$folder" ] || exit 1
cd -P -- "$folder" || exit 1
here=\${above%/}/$folder
if [ "$(readlink "/proc/$$/cwd")" != "$here" ] || { [ -z "$shared" ] && [ ! -O . ]; }; then
  echo "$here is not a folder of this user's own: remove it"
  exit 1
fi
take() {
  [ -e "$1" ] || (set -o noclobber; : >"$1")
  exec {seen}<"$1" || return 1
  local left opened=1
  if [ "$(readlink "/proc/$$/fd/$seen")" = "$here/$1" ]; then exec {fd}<>"/proc/$$/fd/$seen" && opened=0
  else echo "$here/$1 is a link: remove it"; fi
  exec {seen}<&-
  [ "$opened" = 0 ] || return 1
  flock -n "$fd" && return
  [ $? = 1 ] || return 1
  left=$((deadline - SECONDS))
  [ "$left" -gt 0 ] && flock -w "$left" "$fd" && return
  return 2
}
for file in "$@"; do
  take "$file"
  case $? in
    0) printf '%s\\n' "$note" >"/proc/$$/fd/$fd"; echo "held $fd" ;;
    2) echo "busy $(head -c 300 "/proc/$$/fd/$fd" | head -n 1)"; exec {fd}<&- ;;
    *) echo "failed" ;;
  esac
done
while read -r fd; do exec {fd}<&-; done
`
