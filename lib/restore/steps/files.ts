import { plannedItem, type RestoreContext } from '../context.ts'
import { bringBack, isBackAlready } from '../files/bring-back.ts'
import type { Step } from './step.ts'

/** Brings an item's files back, or those of `--path`: existing ones that differ are put aside. */
export function filesStep(context: RestoreContext, item: string): Step {
  const { path } = context.request
  return {
    name: item,
    title: path === undefined ? (plannedItem(context, item)?.title ?? item) : `Files that match ${path}`,
    items: [item],
    done: async () => (path === undefined ? isBackAlready(context, item) : undefined),
    do: () => bringBack(context, item),
  }
}
