import { type CommandName, items, type StoreName } from '../inventory.ts'

/** How the backups of these items into a store are made now, as a person types it. */
export function runAgain(command: CommandName, names: readonly string[], store?: StoreName): string {
  const where = command === 'backup-cron' ? 'Verda' : 'Mello'
  const to = store === undefined || command === 'backup-cron' ? '' : ` --to ${store}`
  const only = names.length > 0 ? ` --only ${inGroups(command, names).join(',')}` : ''
  return `On ${where} run: tsx scripts/${command}.ts${only}${to}`
}

/** A group that is wanted whole is named in the place of its items. */
function inGroups(command: CommandName, names: readonly string[]): string[] {
  const own = items.filter(({ commands }) => commands[command])
  const short = names.map((name) => {
    const group = own.find((item) => item.name === name)?.group
    const members = own.filter((item) => item.group === group)
    return group !== undefined && members.every((item) => names.includes(item.name)) ? group : name
  })
  return [...new Set(short)]
}
