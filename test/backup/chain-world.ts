import assert from 'node:assert'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { JobContext } from '../../lib/backup/context.ts'
import { surveyArchive } from '../../lib/backup/item.ts'
import type { Target } from '../../lib/backup/plan.ts'
import { filesCapture } from '../../lib/capture/files.ts'
import { listName } from '../../lib/chain.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { StoreName } from '../../lib/inventory.ts'
import { type ArchiveRecord, readRecord } from '../../lib/record.ts'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'
import { settle } from '../scripts/verda.ts'

const item = 'user-outputs'

/** An item of files, stored in chains in folders that stand for Mello, R2 and Hetzner, and whole on SFS. */
export function chainWorld() {
  const folder = mkdtempSync(path.join(tmpdir(), 'chain-'))
  const root = path.join(folder, 'root')
  const source = path.join(root, 'out')
  mkdirSync(source, { recursive: true })
  const capture = () => filesCapture(localHost({ name: 'mello', root }), [{ path: '/out', required: true }])
  const start = Date.parse('2026-11-02T10:00:00Z')

  const world = {
    folder,
    source,
    capture,
    at: (file: string) => path.join(source, file),
    put(file: string, content: string | Buffer = file) {
      mkdirSync(path.dirname(world.at(file)), { recursive: true })
      writeFileSync(world.at(file), content)
    },
    /** What no compressor makes small. */
    noise: (bytes: number) => execFileSync('head', ['-c', String(bytes), '/dev/urandom']),
    storeFolder: (store: StoreName) => path.join(folder, store),
    open(store: StoreName): AppendOnlyStore {
      const options = { name: store, root: world.storeFolder(store) }
      mkdirSync(options.root, { recursive: true })
      return store === 'sfs'
        ? rotatingDirectoryStore(options as { name: 'sfs'; root: string })
        : directoryStore(options)
    },
    /** Backs the item up, `hour` hours after the start. */
    async backUp(
      hour: number,
      {
        to = ['r2'],
        broken = [],
        accept = false,
        store = (same) => same,
        captured = (same) => same,
      }: {
        to?: StoreName[]
        broken?: string[]
        accept?: boolean
        store?: (store: AppendOnlyStore) => AppendOnlyStore
        captured?: (capture: ReturnType<typeof filesCapture>) => ReturnType<typeof filesCapture>
      } = {},
    ) {
      settle()
      const now = new Date(start + hour * 3600 * 1000)
      const targets = to.map(
        (name): Target => ({
          store: name,
          bucket: 'user-files',
          folder: '',
          stamp: name === 'sfs' ? 'day' : 'hour',
        }),
      )
      const context = {
        plan: { command: 'backup-mello', environment: 'production', now, jobs: [], skipped: [] },
        job: { item, title: item, host: 'mello', targets, increments: true },
        now,
        acceptShrink: accept,
        stores: new Map(targets.map((target) => [target, store(world.open(target.store))])),
        broken:
          async () =>
          (_: unknown, { key }: { key: string }) =>
            broken.includes(key) ? { key } : undefined,
        emit() {},
        onBytes() {},
        notHalfRestored: async () => {},
        clock: () => now,
      } as unknown as JobContext
      const stored = await (await surveyArchive(context, captured(capture()))).store()
      return {
        stored,
        ...(stored.stores[to[0] as StoreName] as { status: string; key?: string; error?: string }),
      }
    },
    records(store: StoreName = 'r2'): ArchiveRecord[] {
      const names = readdirSync(world.storeFolder(store)).filter((name) => name.endsWith('.sha256'))
      const records = names.map(
        (name) =>
          readRecord(readFileSync(path.join(world.storeFolder(store), name), 'utf8')) as ArchiveRecord,
      )
      return records.sort((a, b) => Number(a.time) - Number(b.time))
    },
    newest: (store: StoreName = 'r2') => world.records(store).at(-1) as ArchiveRecord,
    list: (archive: string, store: StoreName = 'r2') =>
      gunzipSync(readFileSync(path.join(world.storeFolder(store), listName(archive)))).toString(),
    members: (archive: string, store: StoreName = 'r2') =>
      execFileSync('tar', ['-tzf', path.join(world.storeFolder(store), archive), '--quoting-style=escape'])
        .toString()
        .trimEnd()
        .split('\n')
        .map((name) => name.replace(/\/$/, ''))
        .filter((name) => name !== ''),
    /** Unpacks by the words of docs/restore.md what the newest record of a store stands for. */
    unpack(store: StoreName = 'r2') {
      const back = path.join(folder, 'back')
      rmSync(back, { recursive: true, force: true })
      mkdirSync(back)
      const newest = world.newest(store).archive
      execFileSync('bash', ['-euc', byHand, 'by hand', newest.replace('.tar.gz', ''), back], {
        cwd: world.storeFolder(store),
        stdio: ['ignore', 'ignore', 'pipe'],
      })
      return path.join(back, 'out')
    },
    /** The same, and compares it with the sources. */
    expectRestorable(store: StoreName = 'r2') {
      assert.equal(stateOf(world.unpack(store)), stateOf(source))
    },
    dispose: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }),
  }
  return world
}

/** The lines of docs/restore.md: `$1` is the name without its end, `$2` the folder to unpack in. */
const byHand = linesOfDocument()

function linesOfDocument(): string {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/restore.md'), 'utf8')
  const block = /```bash\n.*\n(for archive in [\s\S]*?)```/.exec(page)?.[1]
  if (block === undefined) throw new Error('docs/restore.md shows no loop')
  return `newest=$1 folder=$2\n${block}`
}

/** Everything that a file system says of a tree, but for inodes, ctimes and atimes; hard links by the first name of their file. */
function stateOf(below: string): string {
  if (!existsSync(below)) return 'nothing'
  return execFileSync(
    'bash',
    [
      '-c',
      `cd "$1" && find . -type d -printf '%P\\0%y %m %U %G %T@\\0' -o -printf '%P\\0%y %m %U %G %s %n %T@ %l\\0' | sort -z
      find . -type f -links +1 -printf '%i %P\\0' | sort -z | awk -v RS='\\0' '{ at = index($0, " "); i = substr($0, 1, at); if (!(i in first)) first[i] = $0; print substr($0, at), "is", substr(first[i], at) }' | sort
      find . -type f -print0 | sort -z | xargs -0 -r sha256sum`,
      'state',
      below,
    ],
    { env: { ...process.env, LC_ALL: 'C' }, maxBuffer: 2 ** 28 },
  ).toString('latin1')
}
