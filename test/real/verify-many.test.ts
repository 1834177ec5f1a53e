import { createHash, randomBytes } from 'node:crypto'
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { VerifyReport } from '../../lib/verify/read.ts'
import { buildVerda, type Verda } from '../scripts/verda.ts'

const count = 3_000
const items = [
  'tailscale',
  'ssh-host-keys',
  'fail2ban',
  'ufw',
  'nginx',
  'ssl',
  'env',
  'home-dev',
  'root-home',
  'scripts',
]

let verda: Verda
beforeAll(() => {
  verda = buildVerda()
})
afterAll(() => verda.dispose())

const file = (key: string) => path.join(verda.cache, key)

/** Writes an archive of a few hundred bytes with its record, dated by the hour. */
function putArchive(item: string, hour: number): string {
  const stamp = new Date(Date.UTC(2026, 0, 1, hour)).toISOString().slice(0, 13).replace('T', '-')
  const key = `${item === 'scripts' ? '' : 'config/'}${item}-${stamp}.tar.gz`
  const content = gzipSync(randomBytes(200), { level: 1 })
  writeFileSync(file(key), content)
  const sha256 = createHash('sha256').update(content).digest('hex')
  writeFileSync(
    file(`${key}.sha256`),
    `# item: ${item}\n# bytes: ${content.length}\n${sha256}  ${path.basename(key)}\n`,
  )
  return key
}

/** Every way in which an archive or record goes bad, and what verify must say. */
const corruptions: Record<string, { spoil(key: string, other: string): void; said: RegExp }> = {
  'a bit at the start': { spoil: (key) => flip(key, () => 0), said: /right size and other content/ },
  'a bit in the middle': {
    spoil: (key) => flip(key, (size) => size >> 1),
    said: /right size and other content/,
  },
  'a bit at the end': { spoil: (key) => flip(key, (size) => size - 1), said: /right size and other content/ },
  'cut short': { spoil: (key) => truncateSync(file(key), 100), said: /is cut short: 100 bytes of / },
  emptied: { spoil: (key) => truncateSync(file(key), 0), said: /is cut short: 0 bytes of / },
  'a byte too long': {
    spoil: (key) => appendFileSync(file(key), 'x'),
    said: /is longer than its record says/,
  },
  'the archive is gone': { spoil: (key) => rmSync(file(key)), said: /is gone, only its record is there/ },
  'the record is garbage': {
    spoil: (key) => writeFileSync(file(`${key}.sha256`), 'garbage\n'),
    said: /its record .* is not a readable record; the archive itself is whole gzip/,
  },
  'the record is of another archive': {
    spoil: (key, other) => writeFileSync(file(`${key}.sha256`), readFileSync(file(`${other}.sha256`))),
    said: /its record .* names another archive/,
  },
  'no record, and cut short': {
    spoil(key) {
      rmSync(file(`${key}.sha256`))
      truncateSync(file(key), 100)
    },
    said: /has no record and is not a complete gzip file/,
  },
}

function flip(key: string, at: (size: number) => number): void {
  const content = readFileSync(file(key))
  const place = at(content.length)
  content[place] = (content[place] as number) ^ 1
  writeFileSync(file(key), content)
}

test('ten thousand archives: every seeded corruption is found and named for what it is, and no other archive is', {
  timeout: 1_800_000,
}, async () => {
  mkdirSync(file('config'), { recursive: true })
  const keys = Array.from({ length: count }, (_, index) =>
    putArchive(items[index % items.length] as string, Math.floor(index / items.length)),
  )
  const expected = new Map<string, string>()
  for (let index = 0; index < count; index += 50) {
    // Cycles so that every item is hit.
    const key = keys[(index + ((index / 50) % 50)) % count] as string
    const kind = Object.keys(corruptions)[(index / 50) % Object.keys(corruptions).length] as string
    corruptions[kind]?.spoil(key, keys[(index + 49) % count] as string)
    expected.set(key, kind)
  }

  const started = Date.now()
  const { code, stdout, stderr } = await verda.script('verify', ['--store', 'sfs', '--json'])
  const seconds = (Date.now() - started) / 1000
  expect(code, stderr).toBe(1)
  const { checked, stores, unread } = JSON.parse(stdout) as VerifyReport
  const broken = checked.filter(({ status }) => status !== 'good')
  expect(broken.map(({ key }) => key).sort()).toEqual([...expected.keys()].sort())
  for (const { key, status, reason } of broken) {
    expect(status).toBe('broken')
    expect(reason, key).toMatch(corruptions[expected.get(key) as string]?.said as RegExp)
  }
  expect(checked).toHaveLength(count)
  expect(stores.sfs).toMatchObject({ status: 'read', archives: count })
  expect(unread).toBe(0)
  console.info(`${count} archives, ${expected.size} of them broken, in ${seconds.toFixed(1)} s`)
})
