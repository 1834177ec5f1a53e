import { execFileSync, spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Source } from '../../lib/inventory.ts'
import type { RestoreContext } from '../../lib/restore/context.ts'
import { putInPlace } from '../../lib/restore/files/put-in-place.ts'
import { withStaging } from '../../lib/restore/files/staging.ts'
import { bringModels } from '../../lib/restore/steps/models.ts'
import { mustNotBeAnothers } from '../../lib/restore/steps/toolkit.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
import { noSwapper, stranger, whileSwapped } from '../servers/swapper.ts'

const secret = 'only-root-may-read-this'
const tries = Number(process.env.SWAPPER_TRIES ?? 15)
const home: Source[] = [{ path: '/home/dev', required: true }]

let folder: string
let root: string
const at = (name: string) => path.join(root, name)
const vault = (name = '') => path.join(folder, 'vault', name)
const own = (name: string) => chownSync(at(name), stranger, stranger)

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'swapped-'))
  chmodSync(folder, 0o755)
  root = path.join(folder, 'root')
  mkdirSync(at('home/dev/alice'), { recursive: true })
  mkdirSync(vault('deep'), { recursive: true })
  chmodSync(vault(), 0o700)
  writeFileSync(vault('authorized_keys'), secret, { mode: 0o600 })
  for (const name of ['home/dev', 'home/dev/alice']) own(name)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const state = (name: string) => lstatSync(at(name), { throwIfNoEntry: false })

/** All that a file system says of what is root's, but for times of reading. */
const vaultState = () =>
  execFileSync('bash', [
    '-c',
    'cd "$1" && find . -printf "%P %y %m %U %G %s %T@ %n\\n" | sort && cat authorized_keys',
    'x',
    vault(),
  ]).toString()

/** Puts a tree in place again and again while two names are swapped: nothing of root's may change, and nothing of it may come into the home. */
async function restoreWhileSwapped(one: string, two: string, archive: string): Promise<void> {
  const before = vaultState()
  const target = readlinkSync(at(two))
  await whileSwapped(at(one), at(two), async () => {
    for (let n = 0; n < tries; n++) {
      // A restore may have put the link aside: then it is made anew.
      const link = [one, two].some((name) => state(name)?.isSymbolicLink())
      const free = [one, two].find((name) => state(name) === undefined)
      if (!link && free !== undefined) symlinkSync(target, at(free))
      await withStaging(root, home, async (tree) => {
        execFileSync('bash', [
          '-c',
          `mkdir -p "$1/home/dev" && cd "$1/home/dev" || exit; ${archive}`,
          'x',
          tree,
        ])
        execFileSync('chown', ['-R', `${stranger}:${stranger}`, path.join(tree, 'home/dev')])
        const aside = at(`var/lib/comfyume-backup/kept-aside/${n}`)
        return putInPlace({ staged: tree, base: '', root, sources: home, aside })
      }).catch(() => undefined)
      expect(vaultState()).toBe(before)
    }
  })
  // What is in the home is the stranger's to read, so none of it may hold what is root's.
  const found = execFileSync('bash', ['-c', 'grep -rl -- "$1" "$2" || true', 'x', secret, at('home')])
  expect(found.toString()).toBe('')
}

describe.skipIf(noSwapper !== undefined)(
  `another user swaps names (${noSwapper ?? 'as root'})`,
  { timeout: 600_000 },
  () => {
    test('a folder and a link to one of root: nothing is put there, and none is given away', async () => {
      symlinkSync(vault(), at('home/dev/bob'))
      mkdirSync(at('home/dev/alice/deep'))
      own('home/dev/alice/deep')
      await restoreWhileSwapped(
        'home/dev/alice',
        'home/dev/bob',
        'mkdir -p alice/deep; for n in {1..60}; do echo $RANDOM >alice/$n-$RANDOM; echo $RANDOM >alice/deep/$n-$RANDOM; done; ln alice/1-* alice/hard; chmod 777 alice/deep',
      )
    })

    test('a list of keys and a link to a file of root: its lines come into no list', async () => {
      mkdirSync(at('home/dev/.ssh'))
      writeFileSync(at('home/dev/.ssh/authorized_keys'), 'mine\n')
      symlinkSync(vault('authorized_keys'), at('home/dev/.ssh/other'))
      for (const name of ['.ssh', '.ssh/authorized_keys']) own(`home/dev/${name}`)
      await restoreWhileSwapped(
        'home/dev/.ssh/authorized_keys',
        'home/dev/.ssh/other',
        'mkdir .ssh && echo $RANDOM >.ssh/authorized_keys',
      )
    })

    test('a file and a link to one of root; the folder above the source', async () => {
      writeFileSync(at('home/dev/alice/file'), 'mine')
      symlinkSync(vault('authorized_keys'), at('home/dev/alice/other'))
      own('home/dev/alice/file')
      await restoreWhileSwapped(
        'home/dev/alice/file',
        'home/dev/alice/other',
        'mkdir alice && echo $RANDOM >alice/file',
      )
      symlinkSync(vault(), at('home/other'))
      own('home')
      await restoreWhileSwapped(
        'home/dev',
        'home/other',
        'mkdir deep; for n in {1..60}; do echo $RANDOM >deep/$n-$RANDOM; done',
      )
    })

    test('the folder of a model and a link to one of root: nothing is downloaded to it, and no link made there', async () => {
      mkdirSync(path.join(folder, 'store/loras'), { recursive: true })
      for (const name of ['a', 'b', 'c'])
        writeFileSync(path.join(folder, `store/loras/${name}.safetensors`), name)
      mkdirSync(at('models/loras'), { recursive: true })
      symlinkSync(vault(), at('models/other'))
      for (const name of ['models', 'models/loras']) own(name)
      const before = vaultState()
      const here = path.join(folder, 'store')
      const store = directoryStore({ name: 'sfs', root: here })
      await whileSwapped(at('models/loras'), at('models/other'), async () => {
        for (let n = 0; n < tries; n++) {
          const shelf = { name: 'sfs' as const, store, folder: '', here: n % 2 ? here : undefined }
          const wanted = {
            shelves: [shelf],
            target: at('models'),
            folders: ['loras'],
            extension: '.safetensors',
          }
          await bringModels(wanted, { total() {}, bytes() {} }).catch(() => {})
          expect(vaultState()).toBe(before)
          // The swapper may be quicker than find, which then deletes nothing.
          for (const name of ['loras', 'other'])
            spawnSync('find', [at(`models/${name}`), '-mindepth', '1', '-delete'])
        }
      })
    })

    test('what is unpacked lies where no other user can swap a name', async () => {
      const sources: Source[] = [{ path: '/home/dev/alice/data', required: true }]
      await withStaging(root, sources, async (tree) =>
        expect(path.relative(root, tree)).toMatch(/^home\/\.comfyume-restore-\w+\/tree$/),
      )
      expect(readdirSync(at('home'))).toEqual(['dev'])
      expect(existsSync(at('home/dev/alice'))).toBe(true)
    })
  },
)

test('a link in a folder of another user is not passed through, one of root is', async () => {
  const place = () =>
    withStaging(root, home, async (tree) => {
      mkdirSync(path.join(tree, 'home/dev'), { recursive: true })
      writeFileSync(path.join(tree, 'home/dev/file'), 'restored')
      const aside = at('var/lib/comfyume-backup/kept-aside/1')
      return putInPlace({ staged: tree, base: '', root, sources: home, aside })
    })
  execFileSync('mv', [at('home'), at('elsewhere')])
  symlinkSync('elsewhere', at('home'))
  await place()
  expect(readFileSync(at('elsewhere/dev/file'), 'utf8')).toBe('restored')
  if (process.getuid?.() !== 0) return
  chownSync(root, stranger, stranger)
  await expect(place()).rejects.toThrow(/home is a link that another user could change/)
})

test('the .env of a toolkit is not read through a link', async () => {
  mkdirSync(at('opt/toolkit'), { recursive: true })
  const site = { root, settings: { toolkitDir: '/opt/toolkit', environment: 'staging' } } as RestoreContext
  await expect(mustNotBeAnothers(site)).rejects.toThrow(/says ENVIRONMENT=production/)
  symlinkSync(vault('authorized_keys'), at('opt/toolkit/.env'))
  await expect(mustNotBeAnothers(site)).rejects.toThrow(/opt\/toolkit\/.env is not a regular file/)
  rmSync(at('opt/toolkit/.env'))
  writeFileSync(at('opt/toolkit/.env'), 'ENVIRONMENT=staging')
  await mustNotBeAnothers(site)
})
