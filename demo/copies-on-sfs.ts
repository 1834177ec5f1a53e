import { folderOf } from '../lib/backup/plan.ts'
import { type KnownCopy, listCopies, readCopy } from '../lib/copies.ts'
import { items } from '../lib/inventory.ts'
import type { Stage } from './stage.ts'

/** An item's recorded copies on the share that pass the cheap check, newest first. */
export async function goodCopies({ sfs, settings }: Stage, name: string): Promise<KnownCopy[]> {
  const item = items.find((item) => item.name === name)
  if (item === undefined) throw new Error(`the inventory has no ${name}`)
  const copies = await listCopies(sfs, folderOf(item, settings.environment), name)
  const known = await Promise.all(copies.map((copy) => readCopy(sfs, copy)))
  return known.filter((copy) => copy !== undefined).filter(({ good }) => good)
}
