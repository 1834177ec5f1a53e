import type { TrueCopy } from './stock.ts'
import type { Story } from './story.ts'
import { scale } from './token.ts'
import { archived, type World } from './world.ts'

/** Measures every hour what would be lost if each item's machine failed now. */
export function measure({ world, stock, tally }: Story): void {
  const { ledger, now } = world
  for (const { name, host } of archived) {
    const { version } = ledger.current(name)
    if (version === 0) continue
    const sfs = host === 'verda' ? stock.newest(name, 'sfs', now) : undefined
    const mello = host === 'verda' ? stock.newest(name, 'mello', now) : undefined
    const r2 = stock.newest(name, 'r2', now)
    const readable = {
      sfs: world.share !== 'hangs' && sfs?.version === version,
      mello: world.mello.on && mello?.version === version,
      r2: world.r2 === 'well' && r2?.version === version,
    }
    tally.count('hours', name)
    if (readable.sfs) tally.count('restorable from SFS', name)
    if (readable.sfs || readable.mello || readable.r2) tally.count('restorable from any', name)
    if (sfs || mello || r2) tally.count('restorable at all', name)
    // A machine that is off does not change, so the loss is the one from when it went off.
    if (!(host === 'verda' ? world.verda.on && !world.verda.restoring : world.mello.on)) continue
    if (host === 'verda') tally.measure(`loss of ${name}, SFS survives`, loss(world, name, [sfs, mello, r2]))
    tally.measure(`loss of ${name}, without SFS`, loss(world, name, [mello, r2]))
  }
}

/** Hours of work that even the newest copy lacks: the time since its version was replaced. */
export function loss(world: World, item: string, copies: readonly (TrueCopy | undefined)[]): number {
  const newest = copies.reduce(
    (one, other) => (one && (!other || one.time >= other.time) ? one : other),
    undefined,
  )
  const first = newest ? world.ledger.endOf(item, newest.version) : world.ledger.firstOf(item)
  return first === undefined ? 0 : (world.now - first) / 3_600_000
}

/** Bytes at full size in each bucket and on SFS now. */
export function sizes({ world }: Story): Record<string, number> {
  const { r2Files, ledger, models } = world
  const of = (files: { under(prefix: string): { key: string; file: { content: Buffer } }[] }) => {
    const once = new Set<unknown>()
    let sum = 0
    for (const { key, file } of files.under('')) {
      if (once.has(file)) continue
      once.add(file)
      sum += fullSize(ledger, models, key, file.content)
    }
    return sum
  }
  return {
    sfs: of(world.sfsFiles),
    ...Object.fromEntries(Object.entries(r2Files).map(([bucket, files]) => [bucket, of(files)])),
  }
}

function fullSize(ledger: World['ledger'], models: World['models'], key: string, content: Buffer): number {
  const [, item = '', version] = /^(\S+) version (\d+) \./.exec(content.toString('latin1', 0, 80)) ?? []
  const model = models.get(key)
  if (model) return model.bytes
  if (version === undefined || item.includes('/')) return content.length
  // An increment has fewer bytes.
  return Math.min(ledger.bytesOf(item, Number(version)), content.length * scale)
}
