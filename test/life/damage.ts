import type { buckets } from '../../lib/inventory.ts'
import type { Files } from './files.ts'
import type { Damage, Story } from './story.ts'
import { archived, type World } from './world.ts'

/** Damages an archive under all its names; one time in three the newest of its item. */
export function spoil(
  { world, stock, chance, damage, tally }: Story,
  store: Damage['store'],
  how: Damage['how'],
) {
  const dice = chance('damage')
  const item = dice.pick(archived.filter(({ name }) => stock.copiesOf(name, store).length > 0)) ?? archived[0]
  const name = item?.name as string
  const copies = stock.copiesOf(name, store)
  const copy = dice.happens(0.33) ? copies.at(-1) : dice.pick(copies)
  if (copy === undefined) return
  const files = filesOf(world, store, name)
  const file = files.get(copy.key)
  if (file === undefined || copy.half) return
  const keys = files
    .under('')
    .filter((one) => one.file === file)
    .map(({ key }) => key)
  const content = how === 'cut short' ? file.content.subarray(0, 70) : Buffer.from(file.content)
  content[content.length - 1] = 0
  const spoilt = { content, modified: file.modified, links: 0 }
  stock.tampering(() => {
    for (const key of keys)
      if (how === 'gone') files.delete(key)
      else files.set(key, spoilt)
  })
  damage.push({ store, item: name, how, keys, ...(how === 'gone' ? {} : { file: spoilt }) })
  tally.count('damaged archives', `${store}, ${how}`)
}

/** The part of a store that holds an item. */
export function filesOf(world: World, store: string, item: string): Files {
  if (store === 'sfs') return world.sfsFiles
  if (store === 'mello') return world.melloFiles
  const bucket = archived.find(({ name }) => name === item)?.bucket as keyof typeof buckets
  return world.r2Files[bucket]
}

/** Whether the simulation damaged this key. A link to it that a later run made is the same file. */
export function isDamaged({ world, damage }: Story, store: string, key: string): boolean {
  return damage.some(
    (one) =>
      one.store === store &&
      (one.keys.includes(key) || (one.file && filesOf(world, store, one.item).get(key) === one.file)),
  )
}

/** Whether any copy of an item in a store is damaged. */
export function hasDamage({ damage }: Story, item: string, store: string): boolean {
  return damage.some((one) => one.item === item && one.store === store)
}

/** Forgets damage whose files are gone. */
export function forgetMended(story: Story): void {
  story.damage = story.damage.filter(({ store, item, how, keys, file }) => {
    const files = filesOf(story.world, store, item)
    if (how === 'gone')
      return keys.some((key) => files.get(`${key}.sha256`) !== undefined && files.get(key) === undefined)
    return (file?.links ?? 0) > 0
  })
}
