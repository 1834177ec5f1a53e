import { expect, test } from 'vitest'
import { recordName } from '../../../lib/naming.ts'
import { contentsOf } from '../../../lib/status/judge/contents.ts'
import { movableOf, recordsToCompare } from '../../../lib/status/judge/movable.ts'
import { healthyWorld, type Place, type World } from '../world.ts'

const shape = {
  now: new Date('2026-11-24T10:00:00Z'),
  copies: 3,
  unchangedDays: 1,
  minutesAgo: 5,
  hetzner: false,
}
const contents = ({ seen, places }: World) =>
  seen.shelves.map((shelf) =>
    contentsOf(
      shelf,
      places.map(({ expected }) => expected),
      'production',
    ),
  )
const keysOf = (world: World) => movableOf(contents(world)).map(({ key }) => key)
const place = (world: World, store: string, item: string) =>
  world.places.find(({ expected }) => expected.store === store && expected.item.name === item) as Place

test('older copies on Mello whose bytes are on R2 may go, the newest of each item stays', () => {
  const world = healthyWorld(shape)
  const { keys } = place(world, 'mello', 'env')
  expect(keysOf(world).filter((key) => key.startsWith('config/env-'))).toEqual(keys.slice(1).sort().reverse())
})

test.each([
  [
    'is not on R2',
    (shelf: Place['shelf'], key: string) => {
      shelf.files = shelf.files.filter((file) => file.key !== key)
    },
  ],
  [
    'has another sha256 there',
    (shelf: Place['shelf'], key: string) => {
      const text = shelf.texts[recordName(key)] as string
      shelf.texts[recordName(key)] = text.replace(/^[0-9a-f]{64}/m, 'f'.repeat(64))
    },
  ],
  [
    'is cut short there',
    (shelf: Place['shelf'], key: string) => {
      for (const file of shelf.files) if (file.key === key) file.bytes--
    },
  ],
  [
    'has a record there that was not read',
    (shelf: Place['shelf'], key: string) => {
      delete shelf.texts[recordName(key)]
    },
  ],
])('a copy that %s stays', (_, spoil) => {
  const world = healthyWorld(shape)
  const { shelf, keys } = place(world, 'r2', 'env')
  const key = keys[1] as string
  expect(keysOf(world)).toContain(key)
  spoil(shelf, key)
  expect(keysOf(world)).not.toContain(key)
})

test('a copy on which a later one builds stays', () => {
  const world = healthyWorld(shape)
  const { shelf, keys } = place(world, 'mello', 'env')
  const [newest, base, oldest] = keys as [string, string, string]
  expect(keysOf(world)).toEqual(expect.arrayContaining([base, oldest]))
  const name = base.slice('config/'.length)
  const text = shelf.texts[recordName(newest)] as string
  shelf.texts[recordName(newest)] =
    `# whole: ${name}\n# link: 1\n# deleted: 0\n${text}${'e'.repeat(64)}  ${name}\n`
  expect(keysOf(world)).not.toContain(base)
  expect(keysOf(world)).toContain(oldest)
})

test('of the records on R2 that would tell, the largest are read, and no more than allowed', () => {
  const world = healthyWorld(shape)
  const all = contents(world)
  for (const { shelf } of all) if (shelf.store === 'r2') shelf.texts = {}
  const wanted = [...recordsToCompare(all, 5).values()].flat()
  expect(wanted.length).toBe(5)
  expect(wanted.every((key) => key.endsWith('.sha256'))).toBe(true)
  expect([...recordsToCompare(contents(healthyWorld(shape)), 5)]).toEqual([])
})
