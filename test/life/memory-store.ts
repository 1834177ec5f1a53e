import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { recordName } from '../../lib/naming.ts'
import { readRecord } from '../../lib/record.ts'
import type { S3Store } from '../../lib/stores/s3/store.ts'
import {
  type Entry,
  KeyExists,
  NoSuchKey,
  type Receipt,
  type RotatingStore,
  Rotten,
  StoreError,
} from '../../lib/stores/store.ts'
import type { Files, HeldFile } from './files.ts'

/** Where a store may fail or its process die. `commit`: just before content gets its name. */
export type Act =
  | 'probe'
  | 'look'
  | 'list'
  | 'open'
  | 'create'
  | 'note'
  | 'commit'
  | 'link'
  | 'remove'
  | 'mend'

export interface MemoryOptions {
  name: string
  files: Files
  /** The time that new files get. */
  now(): Date
  /** Called before each act. If it throws, the store fails; if it never returns, the process is dead. */
  before?(act: Act, key: string): void | Promise<void>
  /** Absent: unlimited space. */
  freeBytes?(): number
}

/** A store in memory, with the same contract as a directory or bucket. */
export function memoryStore(options: MemoryOptions): S3Store {
  const { name, files, now, before = () => {}, freeBytes } = options
  const room = () => (freeBytes ? { freeBytes: Math.max(0, freeBytes()) } : {})

  async function open(key: string, from = 0): Promise<Readable> {
    await before('open', key)
    const file = files.get(key)
    if (file === undefined) throw new NoSuchKey(name, key)
    return new HeldContent(from === 0 ? file.content : file.content.subarray(from))
  }

  async function create(key: string, body: Readable): Promise<Receipt> {
    body.once('error', () => {})
    try {
      await before('create', key)
      if (files.get(key)) throw new KeyExists(name, key)
      const content = await take(options, key, body)
      await before('commit', key)
      if (files.get(key)) throw new KeyExists(name, key)
      files.set(key, { content, modified: now(), links: 0 })
      return receiptOf(key, content)
    } catch (error) {
      body.destroy()
      throw error
    }
  }

  return {
    name,
    async probe() {
      await before('probe', '')
      return room()
    },
    async look() {
      await before('look', '')
      return room()
    },
    list: (prefix, { after } = {}) => listed(files, prefix, after, () => before('list', prefix)),
    open,
    openPastCache: (key) => open(key),
    create,
    async createFrom(key, source, { onBytes } = {}) {
      const receipt = await create(key, source.open())
      onBytes?.(receipt.bytes, 'sent')
      return receipt
    },
    // No run in the simulation leaves a model half-written.
    isOwn: async () => false,
    async *unfinished() {},
    tryWrite: async () => {},
    close: async () => {},
  }
}

/** The SFS cache in memory. It names a pair in the steps of stores/directory/rotating.ts; each can fail. */
export function rotatingMemoryStore(options: MemoryOptions): RotatingStore {
  const { name, files, now, before = () => {} } = options
  const {
    createFrom: _,
    isOwn: __,
    unfinished: ___,
    tryWrite: ____,
    close: _____,
    ...store
  } = memoryStore(options)

  async function placePair(key: string, record: string, commit: () => void): Promise<void> {
    const next = `${recordName(key)}.next`
    await before('note', next)
    admit(options, next, record.length)
    files.set(next, { content: Buffer.from(record), modified: now(), links: 0 })
    try {
      await before('commit', key)
      commit()
    } catch (error) {
      files.delete(next)
      throw error
    }
    await before('commit', recordName(key))
    move(files, next, recordName(key))
  }

  async function write(
    key: string,
    body: Readable,
    record: (receipt: Receipt) => string,
    over: boolean,
  ): Promise<Receipt> {
    body.once('error', () => {})
    try {
      await before('create', key)
      const content = await take(options, key, body)
      const receipt = receiptOf(key, content)
      await placePair(key, record(receipt), () => {
        if (!over && files.get(key)) throw new KeyExists(name, key)
        files.set(key, { content, modified: now(), links: 0 })
      })
      return receipt
    } catch (error) {
      body.destroy()
      throw error
    }
  }

  return {
    ...store,
    replace: (key, body, record) => write(key, body, record, true),
    createPair: (key, body, record) => write(key, body, record, false),
    async link(from, to, record) {
      await before('link', to)
      await placePair(to, record, () => {
        if (files.get(to)) throw new KeyExists(name, to)
        const file = files.get(from)
        if (file === undefined) throw new NoSuchKey(name, from)
        if (sha256Of(file.content) !== readRecord(record)?.sha256) throw new Rotten(name, from)
        files.set(to, file)
      })
    },
    async mend(key) {
      await before('mend', key)
      const next = `${recordName(key)}.next`
      const text = files.get(next)?.content.toString()
      if (text === undefined) return
      const held = files.get(key)
      if (held && sha256Of(held.content) === readRecord(text)?.sha256) move(files, next, recordName(key))
      else files.delete(next)
    },
    async remove(key) {
      await before('remove', key)
      files.delete(key)
    },
  }
}

/** Lower-case hex, cached because the same content is asked for often. */
export function sha256Of(content: Buffer): string {
  const known = digests.get(content)
  if (known !== undefined) return known
  const digest = createHash('sha256').update(content).digest('hex')
  digests.set(content, digest)
  return digest
}

const digests = new WeakMap<Buffer, string>()

function receiptOf(key: string, content: Buffer): Receipt {
  return { key, bytes: content.length, sha256: sha256Of(content) }
}

async function take(options: MemoryOptions, key: string, body: Readable): Promise<Buffer> {
  const content = await buffer(body)
  admit(options, key, content.length)
  return content
}

function admit({ name, files, freeBytes }: MemoryOptions, key: string, bytes: number): void {
  if (freeBytes && (files.counts(key) ? bytes : 1) > freeBytes())
    throw new StoreError(`${name}: ${key}: no space left: free some, or enlarge the store (ENOSPC)`)
}

function move(files: Files, from: string, to: string): void {
  const file = files.get(from) as HeldFile
  files.set(to, file)
  files.delete(from)
}

/** A snapshot taken at the first read. Not an async generator, which takes ten times as long per entry. */
function listed(
  files: Files,
  prefix: string,
  after: string | undefined,
  before: () => void | Promise<void>,
): AsyncIterable<Entry> {
  return {
    [Symbol.asyncIterator]() {
      let entries: ReturnType<Files['under']> | undefined
      let place = 0
      return {
        async next() {
          if (entries === undefined) {
            await before()
            entries = files.under(prefix).filter(({ key }) => after === undefined || key > after)
          }
          const entry = entries[place++]
          if (entry === undefined) return { value: undefined, done: true }
          const { key, file } = entry
          return { value: { key, bytes: file.content.length, modified: file.modified }, done: false }
        },
      }
    },
  }
}

/** A stream of content in memory: an iterating reader gets it in one piece, which is much faster. */
class HeldContent extends Readable {
  constructor(readonly content: Buffer) {
    super()
  }

  override _read(): void {
    if (this.content.length > 0) this.push(this.content)
    this.push(null)
  }

  override async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      if (this.content.length > 0) yield this.content
    } finally {
      this.destroy()
    }
  }
}
