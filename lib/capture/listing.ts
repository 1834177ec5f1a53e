import { createHash } from 'node:crypto'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Listing } from './capture.ts'
import type { Entry } from './list.ts'

/** Bytes kept of a host's listing. A larger item stays whole, so that its list stays below mostListBytes. */
const mostBytes = 64 * 2 ** 20

/**
 * Reads pathsScript's output: each path and find's description of it, both ended by NUL. `isFresh`, called at
 * the end, says whether a file that changed at this time (seconds) could change again with equal times.
 */
export async function readListing(
  body: Readable,
  isFresh: (time: number) => boolean,
): Promise<Listing | undefined> {
  const hash = createHash('sha256')
  const entries: Entry[] = []
  let rest = ''
  let path: string | undefined
  let bytes = 0
  for await (const chunk of pipeline(body, createGunzip(), () => {}) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > mostBytes) return undefined
    hash.update(chunk)
    const words = (rest + chunk.toString('latin1')).split('\0')
    rest = words.pop() as string
    for (const word of words) {
      if (path === undefined) path = word
      else {
        const entry = entryOf(path, word)
        if (entry !== undefined) entries.push(entry)
        path = undefined
      }
    }
  }
  const changedAt = ({ look }: Entry) => {
    const [, , mtime, ctime] = look.split(' ')
    return Number(ctime === '-' ? mtime : ctime)
  }
  const fresh = entries.filter((entry) => isFresh(changedAt(entry)))
  for (const entry of fresh) entry.mark = '?'
  entries.sort((a, b) => (a.path < b.path ? -1 : 1))
  const fingerprint = hash.digest('hex')
  return { entries, fingerprint: fresh.length === 0 ? fingerprint : `${fingerprint}-${Date.now()}` }
}

const ofLog = /^([a-z] \d+ \S+) (\d+ [0-7]+ \d+ \d+)$/
const ofOther = /^([a-z] \d+ \S+ \S+ \d+ [0-7]+ \d+ \d+) (.*)$/s

/** Undefined for an unreadable path, which is in no archive. */
function entryOf(path: string, said: string): Entry | undefined {
  const [, look, target = ''] = ofOther.exec(said) ?? []
  if (look !== undefined) return { mark: '=', path, look, target }
  const [, before, after] = ofLog.exec(said) ?? []
  return before === undefined ? undefined : { mark: '=', path, look: `${before} - ${after}`, target: '' }
}

const letters: Record<string, string> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** A member's path, one byte per character, from tar's `--quoting-style=escape` or `c`. Folders end in a slash. */
export function memberPath(printed: string): string {
  return printed.replace(/\\(?:([0-7]{3})|(.))/gs, (_, octal, letter) =>
    octal === undefined ? (letters[letter] ?? letter) : String.fromCharCode(Number.parseInt(octal, 8)),
  )
}
