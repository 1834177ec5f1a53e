import { expect, test } from 'vitest'
import { recordName } from '../../../lib/naming.ts'
import { assess } from '../../../lib/status/judge/assess.ts'
import { healthyWorld, type Place, removeFile, type World } from '../world.ts'

const shape = {
  now: new Date('2026-11-24T10:00:00Z'),
  copies: 3,
  unchangedDays: 5,
  minutesAgo: 5,
  hetzner: false,
}
const assetOf = (world: World, name: string) =>
  assess(world.seen).recovery.find(({ asset }) => asset === name)
const placesOf = (world: World, name: string) =>
  assetOf(world, name)?.copies?.places.map(({ place, state }) => `${place}: ${state}`)
const place = (world: World, store: string, item: string) =>
  world.places.find(({ expected }) => expected.store === store && expected.item.name === item) as Place

test('the configuration is promised three times, and there three times', () => {
  const world = healthyWorld(shape)
  expect(assetOf(world, 'Config')?.copies).toMatchObject({ promised: 3, seen: 3, held: 'yes' })
  expect(placesOf(world, 'Config')).toEqual(['SFS cache: there', 'Mello: there', 'Cloudflare R2: there'])
})

test('several names of one file on SFS are one copy of it', () => {
  const world = healthyWorld(shape)
  const { shelf, keys } = place(world, 'sfs', 'env')
  for (const file of shelf.files) file.content = keys.includes(file.key) ? '8:1' : `8:${file.key}`
  const cell = assess(world.seen).cells.find(({ item, store }) => item === 'env' && store === 'sfs')
  const [{ bytes } = { bytes: 0 }] = shelf.files.filter(({ key }) => key === keys.at(-1))
  expect(cell).toMatchObject({ copies: 3, contents: 1, bytes })
  const [sfs] = assetOf(world, 'Config')?.copies?.places ?? []
  expect(sfs?.what).toBe('9 items, 25 different archives, 27 names for them')
})

test('one item that one store lacks breaks the promise', () => {
  const world = healthyWorld(shape)
  const { shelf, keys } = place(world, 'mello', 'env')
  for (const key of keys) for (const name of [key, recordName(key)]) removeFile({ shelf }, name)
  expect(assetOf(world, 'Config')?.copies).toMatchObject({ seen: 2, held: 'no' })
  expect(placesOf(world, 'Config')).toContain('Mello: not there')
})

test('what cannot be seen is neither kept nor broken', () => {
  const world = healthyWorld(shape)
  for (const shelf of world.seen.shelves) if (shelf.store === 'mello') shelf.state = 'left out'
  expect(assetOf(world, 'Config')?.copies).toMatchObject({ seen: 2, held: 'unknown' })
  expect(placesOf(world, 'Models')).toEqual([
    'PROD_SFS: there',
    'CLONE_SFS: not seen',
    'Cloudflare R2: there',
  ])
})

test('models that R2 lacks are no copy of all of them', () => {
  const world = healthyWorld(shape)
  world.seen.models?.files.push({ path: 'vae/new.safetensors', bytes: 9 })
  expect(placesOf(world, 'Models')).toContain('Cloudflare R2: not there')
})

test('the age is that of the oldest thing, or of the date in the name', () => {
  const world = healthyWorld(shape)
  expect(assetOf(world, 'PROD_OS')?.time).toEqual(new Date('2026-02-16T00:00:00Z'))
  expect(assetOf(world, 'Config')?.time).toEqual(new Date('2026-11-24T09:55:00Z'))
  expect(assetOf(world, 'Code')?.time).toBeUndefined()
})
