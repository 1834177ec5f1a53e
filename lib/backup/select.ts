import { checkNames } from '../cli/flags.ts'
import { type CommandName, type Item, items, type StoreName, stores } from '../inventory.ts'

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
  /** Why it is left out after all. */
  leftOut?: string
}

/**
 * A request's items in the inventory's order, with the stores left by its command and `to`. An item with no
 * store left says so. Throws FlagError for names unknown to this command.
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
    return isNamed(item, request.only)
  }
  return own.filter(wanted).map((item) => {
    // An item named but excluded is reported; a default set is just smaller.
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

/** Stored items with every store some command writes to. `only`: items or groups. Throws FlagError. */
export function selectStored(only: readonly string[] | undefined): Selected[] {
  const own = items.filter((item) => item.bucket !== undefined)
  checkNames('--only', only, namesOf(own), 'stores hold')
  return own
    .filter((item) => only === undefined || isNamed(item, only))
    .map((item) => ({
      item,
      stores: withFollowers(Object.values(item.commands).flatMap(({ to }) => to)),
    }))
}

/** Checks store names given as `--store`. Throws FlagError for others. */
export function selectStores(named: readonly string[]): StoreName[] {
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

/** Whether the names include an item or its group. A name of both is the group; `item:NAME` the item. */
export function isNamed({ name, group }: Item, names: readonly string[]): boolean {
  return names.some((one) => one === name || one === group || one === `item:${name}`)
}

/** The name that means only this item. */
export function nameAlone(name: string): string {
  const isGroup = items.some((other) => other.group === name && other.name !== name)
  return isGroup ? `item:${name}` : name
}

/** The names of items and of their groups. */
export function namesOf(own: readonly Item[]): string[] {
  const names = own.map(({ name }) => name)
  return [...new Set([...names, ...own.flatMap(({ group }) => group ?? []), ...names.map(nameAlone)])]
}
