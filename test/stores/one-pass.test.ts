import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { fanOut } from '../../lib/backup/fan-out.ts'
import { localHost } from '../../lib/hosts/local.ts'
import { makeDigests } from '../../lib/stores/digests.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'
import { sha256 } from './contract.ts'
import { bench } from './s3-bench.ts'

const megabytes = 48
/** Noise, of which every byte is another one than a block before. */
const script = `openssl enc -aes-128-ctr -K ${'0'.repeat(32)} -iv ${'0'.repeat(32)} </dev/zero 2>/dev/null | head -c ${megabytes}M`

async function stores() {
  const folder = mkdtempSync(path.join(tmpdir(), 'one-pass-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const options = { partBytes: 3_000_000, patience: { idleMs: 20_000, requestMs: 20_000 } }
  const [one, other] = [await bench({}, options), await bench({}, options)]
  const disk = directoryStore({ name: 'mello', root: folder })
  return { disk, one: one.store, other: other.store }
}

/** Brings what the script prints into every store at once; returns what each says, or why it failed. */
async function bring(into: AppendOnlyStore[], slow?: (body: Readable, index: number) => Readable) {
  const host = localHost({ name: 'mello', root: '/' })
  const judge = ({ exitCodes }: { exitCodes: number[] }) => expect(exitCodes[1]).toBe(0)
  const bodies = fanOut(
    host.stream(script, [], judge),
    into.map(() => () => {}),
  )
  const digests = makeDigests()
  const endings = await Promise.allSettled(
    into.map((store, index) =>
      store.create('noise', slow?.(bodies[index] as Readable, index) ?? (bodies[index] as Readable), digests),
    ),
  )
  return endings.map((ending) =>
    ending.status === 'fulfilled' ? ending.value.sha256 : String(ending.reason),
  )
}

async function content(store: AppendOnlyStore): Promise<string> {
  return sha256(await buffer(await store.open('noise')))
}

async function expected(): Promise<string> {
  const { stdout } = await localHost({ name: 'mello', root: '/' }).run(
    `${script} | openssl dgst -sha256 -r`,
    [],
  )
  return stdout.toString().slice(0, 64)
}

test('each of three stores holds what the script printed', async () => {
  const { disk, one, other } = await stores()
  const want = await expected()
  expect(await bring([disk, one, other])).toEqual([want, want, want])
  for (const store of [disk, one, other]) expect(await content(store)).toBe(want)
})

test('one that falls behind, and one that fails, take nothing from the others', async () => {
  const { disk, one, other } = await stores()
  const want = await expected()
  async function* behind(body: Readable) {
    for await (const chunk of body) {
      await wait(5)
      yield chunk
    }
  }
  async function* failing(body: Readable) {
    let bytes = 0
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > 20e6) throw new Error('no more')
      yield chunk
    }
  }
  const endings = await bring([disk, one, other], (body, index) =>
    index === 0 ? body : Readable.from(index === 1 ? behind(body) : failing(body)),
  )
  expect(endings).toEqual([want, want, 'Error: no more'])
  for (const store of [disk, one]) expect(await content(store)).toBe(want)
})
