import { stores } from '../inventory.ts'
import { type Contents, contentsOf } from './contents.ts'
import { type Expected, expectedOf } from './expected.ts'
import { lookAtObjects, readMore } from './look-at-buckets.ts'
import { lookAtMello, lookAtModels, lookAtSfs } from './look-at-folders.ts'
import type { Memory } from './memory.ts'
import { recordsToCompare } from './movable.ts'
import { lookAtRepository } from './repository.ts'
import type { Seen, SeenShelf } from './seen.ts'
import { blankShelf, type Look, storesOf } from './shelves.ts'

/** Looks at everything at once. What cannot be reached says why, and keeps nothing else from being looked at. Nothing is written anywhere. */
export async function gather(options: Look): Promise<{ seen: Seen; memory: Memory }> {
  const { settings, memory, markOff, now } = options
  const expected = expectedOf(settings.environment, storesOf(settings))
  const [sfs, mello, objects, repository] = await Promise.all([
    lookAtShare(options, expected),
    lookAtMello(options, expected),
    lookAtObjects(options, expected),
    lookAtRepository(settings),
  ])
  const shelves = [sfs.shelf, mello, ...objects.map(({ shelf }) => shelf)]
  await compareMello(shelves, objects, expected, settings.environment)
  const since = markOff ? (sfs.answers ? now : (memory.verdaOff ?? now)) : memory.verdaOff
  const next: Memory = { ...(sfs.remembered ?? {}) }
  // A mark goes when Verda answers again; one that was made just now waits for Verda to go.
  if (since && (markOff || !sfs.answers)) next.verdaOff = since
  return {
    memory: next,
    seen: {
      now,
      drill: settings.now !== undefined,
      environment: settings.environment,
      userDataHost: settings.userDataHost,
      shelves,
      ...(sfs.models && { models: sfs.models }),
      ...(repository && { repository }),
      ...(since && { verdaOff: { since, answers: sfs.answers } }),
    },
  }
}

/** The share, and the models that live on it; as they were last seen where Verda does not answer. */
async function lookAtShare(options: Look, expected: readonly Expected[]) {
  const { memory, now, wanted } = options
  const kept: Memory = {
    ...(memory.sfs && { sfs: memory.sfs }),
    ...(memory.models && { models: memory.models }),
  }
  if (!wanted.has('sfs'))
    return { shelf: blankShelf('sfs', stores.sfs.title, now), answers: false, remembered: kept }
  const { shelf, answers, source } = await lookAtSfs(options, expected)
  if (shelf.state === 'seen') {
    const models = await lookAtModels(options, source)
    // On Verda itself there is nothing to be remembered: it is there.
    const remembered: Memory = options.vantage.onVerda ? {} : { sfs: shelf, models }
    return { shelf, answers, models, remembered }
  }
  if (!memory.sfs) return { shelf, answers, remembered: kept }
  const then: SeenShelf = { ...memory.sfs, state: 'remembered', problem: shelf.problem as string, answers }
  return { shelf: then, answers, remembered: kept, ...(memory.models && { models: memory.models }) }
}

/** Reads what tells which of Mello's copies are on R2 as well. */
async function compareMello(
  shelves: readonly SeenShelf[],
  objects: Awaited<ReturnType<typeof lookAtObjects>>,
  expected: readonly Expected[],
  environment: string,
): Promise<void> {
  const sorted = new Map<Contents, SeenShelf>()
  for (const shelf of shelves.filter(
    ({ store, state }) => state === 'seen' && (store === 'mello' || store === 'r2'),
  ))
    sorted.set(contentsOf(shelf, expected, environment), shelf)
  for (const [{ shelf }, keys] of recordsToCompare([...sorted.keys()], recordsOfMello)) {
    const object = objects.find((one) => one.shelf === shelf)
    if (object) await readMore(object, keys)
  }
}

const recordsOfMello = 60
