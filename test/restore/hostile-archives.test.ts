import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Source } from '../../lib/inventory.ts'
import { baseOf, depthOf } from '../../lib/restore/files/mapping.ts'
import { putInPlace } from '../../lib/restore/files/put-in-place.ts'
import { withStaging } from '../../lib/restore/files/staging.ts'
import { takeOutUnfit, topPathsOf } from '../../lib/restore/files/tree.ts'
import { BadArchive, CannotUnpack, unpack } from '../../lib/restore/files/unpack.ts'
import { share, tries } from '../fuzz/tries.ts'
import { type Member, memberTypes, tarOf } from './tar-writer.ts'

/** Two items, so that what one plants the other may stumble over; `data` is older in form, too. */
const items: Source[][] = [
  [{ path: '/etc/ufw', required: true, whole: true }],
  [
    { path: '/home/p/data', required: true },
    { path: '/home/p/nodes', required: false },
  ],
]

let folder: string
let root: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'hostile-'))
  root = path.join(folder, 'root')
})
afterEach(() => rmSync(folder, { recursive: true }))

/** A root with sentinels beside all that is restored, and around it. */
function build() {
  rmSync(folder, { recursive: true })
  for (const each of ['root/etc/ufw/sub', 'root/etc/profile.d', 'root/home/p/data', 'outside/sub'])
    mkdirSync(path.join(folder, each), { recursive: true })
  for (const each of [
    'sentinel',
    'outside/sentinel',
    'outside/sub/x',
    'root/sentinel',
    'root/etc/sentinel',
    'root/etc/profile.d/x',
    'root/home/sentinel',
    'root/home/p/x',
  ])
    writeFileSync(path.join(folder, each), 'untouched')
  for (const each of ['root/etc/ufw/x', 'root/etc/ufw/sub/x', 'root/home/p/data/x'])
    writeFileSync(path.join(folder, each), 'there before')
}

/** Everything but what the items may change and what is put aside. */
function surroundings(): string {
  const script = `cd "$1"; find . \\( -path ./root/etc/ufw -o -path ./root/home/p/data -o -path ./root/home/p/nodes -o -path ./root/var \\) -prune -o \\
    \\( -type d -printf '%p %y %m %U %G\\n' -o -printf '%p %y %m %U %G %s %n %l %T@\\n' \\) | sort`
  return execFileSync('bash', ['-c', script, 'x', folder]).toString()
}

/** As bring-back does it. */
async function restore(archive: Buffer, sources: Source[]): Promise<'restored' | 'refused'> {
  try {
    await withStaging(root, sources, async (tree) => {
      await unpack(Readable.from([archive], { objectMode: false }), tree, { attributes: '*' })
      const base = baseOf(sources, await topPathsOf(tree, depthOf(sources)))
      if (base === undefined) throw new BadArchive('not this item')
      await takeOutUnfit(tree, base)
      const aside = path.join(root, 'var/aside')
      await putInPlace({ staged: tree, base, root, sources, aside })
    })
    return 'restored'
  } catch (error) {
    if (error instanceof BadArchive || error instanceof CannotUnpack) return 'refused'
    throw error
  }
}

const fragments = [
  'etc',
  'ufw',
  'home',
  'p',
  'data',
  'nodes',
  'sub',
  'x',
  'profile.d',
  'sentinel',
  '.',
  '..',
  '',
  'outside',
  'a\nb',
  '\u001b',
  'ü',
  '-rf',
  '.ssh',
  'authorized_keys',
]
const relative = fc
  .array(fc.constantFrom(...fragments), { minLength: 1, maxLength: 4 })
  .map((parts) => parts.join('/'))
const name = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom('etc/ufw/', 'home/p/data/', 'home/p/nodes/', 'etc/'), relative)
      .map((parts) => parts.join('')),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'etc',
      'etc/ufw',
      'etc/ufw/sub',
      'home',
      'home/p',
      'home/p/data',
      'home/p/nodes',
    ),
  },
  { weight: 1, arbitrary: relative },
)
const link = fc.oneof(
  relative,
  fc.constantFrom('.', '..', '../..', '../../..', 'sub', '/', 'etc', 'ufw', 'etc/ufw'),
  fc.constantFrom('/outside', '/outside/sentinel', '../../../../outside', '../outside'),
)
const member = fc.record(
  {
    name,
    type: fc.oneof(
      {
        weight: 8,
        arbitrary: fc.constantFrom('file' as const, 'folder' as const, 'link' as const, 'hard link' as const),
      },
      { weight: 1, arbitrary: fc.constantFrom(...memberTypes) },
    ),
    content: fc.constantFrom('', 'evil', 'Yx\0Nsub\0\0'),
    link,
    mode: fc.constantFrom(0o644, 0o4755, 0o777, 0),
    pax: fc.oneof(
      { weight: 8, arbitrary: fc.constant(undefined) },
      {
        weight: 1,
        arbitrary: fc.dictionary(
          fc.constantFrom(
            'path',
            'linkpath',
            'GNU.sparse.name',
            'GNU.volume.label',
            'GNU.dumpdir',
            'SCHILY.xattr.security.capability',
            'mtime',
          ),
          name,
        ),
      },
    ),
  },
  { requiredKeys: ['name', 'type', 'content', 'link', 'mode'] },
)

/** Links are said from the root of the world, so that they can lead where the sentinels are. */
const placed = (one: { link: string; type: string; pax?: Record<string, string> | undefined }) =>
  ({
    ...one,
    link: one.link.startsWith('/outside') ? path.join(folder, one.link) : one.link,
  }) as Member

test('whatever members an archive has, nothing changes but what its item may change', async () => {
  const outcomes = { restored: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.constantFrom(...items), fc.array(member, { minLength: 1, maxLength: 5 })), {
        minLength: 1,
        maxLength: 2,
      }),
      async (archives) => {
        build()
        const before = surroundings()
        for (const [sources, members] of archives)
          outcomes[await restore(gzipSync(tarOf(...members.map(placed))), sources)]++
        expect(surroundings()).toBe(before)
      },
    ),
    tries(40, 4),
  )
  expect(Math.min(outcomes.restored, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(share(2))
})

test.each<[string, 'restored' | 'refused', Member[]]>([
  ['a good one', 'restored', [{ name: 'etc/ufw/a', content: 'x' }]],
  [
    'one whose names lie in the item, and whose members do not',
    'refused',
    [
      { name: 'etc', type: 'link', link: '.' },
      { name: 'etc/ufw', type: 'link', link: '.' },
      { name: 'etc/ufw/profile.d/evil.sh', content: 'x' },
    ],
  ],
  [
    'one whose item is a link to a neighbour that it brings along',
    'refused',
    [
      { name: 'etc/ufw', type: 'link', link: '../profile.d' },
      { name: 'profile.d/x', content: 'evil' },
    ],
  ],
  [
    'one that has a link above its item',
    'refused',
    [
      { name: 'etc', type: 'link', link: 'home' },
      { name: 'home/ufw/x', content: 'evil' },
    ],
  ],
])('%s is %s', async (_, expected, members) => {
  build()
  const before = surroundings()
  expect(await restore(gzipSync(tarOf(...members)), items[0] as Source[])).toBe(expected)
  expect(surroundings()).toBe(before)
})
