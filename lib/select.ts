import { type CommandName, type Item, items, type StoreName, stores } from './inventory.ts'
import { Mistake } from './mistake.ts'

/** What an operator asked a backup command for. */
export interface Request {
  command: CommandName
  /** Items or groups by name; absent: the command's default set. */
  only?: string[]
  /** Absent: every store of each item. */
  to?: string[]
  quick?: boolean
}

export interface Selected {
  item: Item
  stores: StoreName[]
  /** Why nothing is to be done with it after all. */
  leftOut?: string
}

/** Flags that cannot be meant. The message lists what can be. */
export class RequestError extends Mistake {
  override name = 'RequestError'
}

/**
 * The items of a request in the inventory's order, each with the stores that its command and `to` leave it.
 * An item whose stores are all left out by `to` says so. Throws RequestError for names that this command does not know.
 */
export function selectItems(request: Request): Selected[] {
  const own = items.filter((item) => item.commands[request.command])
  checkNames('--only', request.only, namesOf(own), `${request.command} backs up`)
  checkNames(
    '--to',
    request.to,
    withFollowers(own.flatMap((item) => item.commands[request.command]?.to ?? [])),
    `${request.command} writes to`,
  )
  const wanted = (item: Item): boolean => {
    const when = item.commands[request.command]?.when
    if (!request.only) return when !== 'by name' && !(request.quick && when === 'not quick')
    return request.only.includes(item.name) || (item.group !== undefined && request.only.includes(item.group))
  }
  return own.filter(wanted).map((item) => {
    // Named, and taken back: that is told, where a default set is just smaller.
    if (request.quick && item.commands[request.command]?.when === 'not quick')
      return { item, stores: [], leftOut: 'is large, and --quick leaves it out' }
    const to = item.commands[request.command]?.to ?? []
    const stores = withFollowers(to).filter((store) => isAllowed(store, request.to))
    if (stores.length > 0 || request.to === undefined) return { item, stores }
    return {
      item,
      stores,
      leftOut: `goes to ${to.join(' and ') || 'its git repository'} alone, which --to leaves out`,
    }
  })
}

/**
 * The items that lie in stores, each with every store that some command brings it to: what can be read back. `only`: items or
 * groups by name. Throws RequestError for other names.
 */
export function selectStored(only: string[] | undefined): Selected[] {
  const own = items.filter((item) => item.bucket !== undefined)
  checkNames('--only', only, namesOf(own), 'what lies in stores is')
  const isWanted = (item: Item) =>
    only === undefined || only.includes(item.name) || (item.group !== undefined && only.includes(item.group))
  return own.filter(isWanted).map((item) => ({
    item,
    stores: withFollowers(Object.values(item.commands).flatMap(({ to }) => to)),
  }))
}

/** Checks names of stores given as `--store`. Throws RequestError for others. */
export function selectStores(named: string[]): StoreName[] {
  checkNames('--store', named, storeNames, 'the stores are')
  return storeNames.filter((name) => named.includes(name))
}

/** What goes to a store also goes to those that follow it. */
function withFollowers(to: readonly StoreName[]): StoreName[] {
  return storeNames.filter((name) => to.includes(name) || to.includes(followed(name) as StoreName))
}

function isAllowed(store: StoreName, to: string[] | undefined): boolean {
  return to === undefined || to.includes(store) || to.includes(followed(store) ?? '')
}

function followed(name: StoreName): string | undefined {
  const store = stores[name]
  return 'follows' in store ? store.follows : undefined
}

const storeNames = Object.keys(stores) as StoreName[]

/** The names of items and of their groups. */
export function namesOf(own: readonly Item[]): string[] {
  return [...new Set([...own.map((item) => item.name), ...own.flatMap((item) => item.group ?? [])])]
}

/** Throws RequestError for names that are not known, and for none at all; `what` completes "… a, b, c". */
export function checkNames(
  flag: string,
  names: string[] | undefined,
  known: readonly string[],
  what: string,
): void {
  const unknown = (names ?? []).filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    throw new RequestError(`${flag}: ${unknown.join(', ')}: not known here; ${what} ${known.join(', ')}`)
  }
  if (names?.length === 0) throw new RequestError(`${flag} names nothing; ${what} ${known.join(', ')}`)
}
