import { disasterRecovery, items, type StoreName, stores } from '../../inventory.ts'
import type { SeenModels } from '../look/seen.ts'
import type { Cell } from './cell.ts'

/** An asset of the facts' table "Disaster Recovery", compared with what was seen. */
export interface Asset {
  asset: string
  backup: string
  location: string
  /** The time of the oldest part of a recovery; absent if it cannot be known from here. */
  time?: Date
  /** If a number of copies is promised. */
  copies?: {
    promised: number
    /** Places that have all of it. */
    seen: number
    /** `unknown`: some places are not visible from here. */
    held: 'yes' | 'no' | 'unknown'
    places: { place: string; state: 'there' | 'not there' | 'not seen'; what: string }[]
  }
}

export function recoveryOf(cells: readonly Cell[], models: SeenModels | undefined): Asset[] {
  return disasterRecovery.map((one) => {
    const { asset, backup, location } = one
    const base = { asset, backup, location }
    if (!('copies' in one)) {
      const date = /\d{4}-\d\d-\d\d/.exec(backup)?.[0]
      return { ...base, time: date ? new Date(`${date}T00:00:00Z`) : undefined }
    }
    const own = cells.filter((cell) => isPartOf(asset, cell))
    const places = asset === 'Models' ? modelPlaces(own, models) : configPlaces(own)
    const times = own.flatMap(({ freshAt, state }) => (state !== 'unknown' && freshAt ? [freshAt] : []))
    const oldest = times.sort((a, b) => a.getTime() - b.getTime())[0]
    return { ...base, time: oldest, copies: promise(one.copies, places) }
  })
}

type Place = NonNullable<Asset['copies']>['places'][number]

function promise(promised: number, places: Place[]): NonNullable<Asset['copies']> {
  const seen = places.filter(({ state }) => state === 'there').length
  const notSeen = places.filter(({ state }) => state === 'not seen').length
  const held = seen >= promised ? 'yes' : seen + notSeen >= promised ? 'unknown' : 'no'
  return { promised, seen, held, places }
}

function isPartOf(asset: string, { item }: Cell): boolean {
  return items.find(({ name }) => name === item)?.group === asset.toLowerCase()
}

/** A store counts if each item has a good copy there. Several names of one content on SFS are one copy. */
function configPlaces(cells: readonly Cell[]): Place[] {
  const names = [...new Set(cells.map(({ store }) => store))] as StoreName[]
  return names.map((store) => {
    const own = cells.filter((cell) => cell.store === store && cell.state !== 'absent')
    const without = own.filter(({ state }) => state === 'missing').map(({ item }) => item)
    const [names, contents] = [sum(own, ({ copies }) => copies), sum(own, (cell) => cell.contents)]
    const least = own.some(({ since }) => since) ? 'at least ' : ''
    const links = contents < names ? `, ${names} names for them` : ''
    const place = stores[store].title
    if (own.some(({ state }) => state === 'unknown'))
      return { place, state: 'not seen', what: 'not looked at' }
    if (without.length > 0) return { place, state: 'not there', what: `without ${without.join(', ')}` }
    return {
      place,
      state: 'there',
      what: `${own.length} items, ${least}${contents} different archives${links}`,
    }
  })
}

/** The share is one place; the other share, which is not mounted here, is another. */
function modelPlaces(cells: readonly Cell[], models: SeenModels | undefined): Place[] {
  const shares = ['PROD_SFS', 'CLONE_SFS'].map((place): Place => {
    const isHere =
      models !== undefined &&
      models.problem === undefined &&
      (models.where === place || (place === 'PROD_SFS' && models.where !== 'CLONE_SFS'))
    if (!isHere)
      return {
        place,
        state: 'not seen',
        what:
          models?.problem && place === 'PROD_SFS'
            ? models.problem
            : 'not mounted where it could be looked at',
      }
    return {
      place,
      state: models.files.length > 0 ? 'there' : 'not there',
      what: `${models.files.length} models`,
    }
  })
  return [
    ...shares,
    ...cells.map(({ store, state, copies, lacking }): Place => {
      const place = stores[store as StoreName].title
      if (state === 'unknown') return { place, state: 'not seen', what: 'not looked at' }
      const whole = state !== 'missing' && !lacking
      const without = lacking ? `, without ${lacking} of the live ones` : ''
      return { place, state: whole ? 'there' : 'not there', what: `${copies} models${without}` }
    }),
  ]
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((total, one) => total + of(one), 0)
}
