import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { expect, onTestFinished, test } from 'vitest'
import type { JobContext } from '../../lib/backup/context.ts'
import { surveyArchive } from '../../lib/backup/item.ts'
import type { Job, Plan, Target } from '../../lib/backup/plan.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
import type { AppendOnlyStore } from '../../lib/stores/store.ts'

test('a store is told how large the sources are, so that its parts can hold the archive', async () => {
  const now = new Date('2026-11-24T10:20:00Z')
  const target = { store: 'r2', folder: 'config/', stamp: 'day' } as Target
  const root = mkdtempSync(path.join(tmpdir(), 'expected-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const directory = directoryStore({ name: 'r2', root })
  const expected: Record<string, number | undefined> = {}
  const store: AppendOnlyStore = {
    ...directory,
    create(key, body, digests, expectedBytes) {
      expected[key] = expectedBytes
      return directory.create(key, body, digests)
    },
  }
  const context = {
    plan: { environment: 'production' } as Plan,
    job: { item: 'env', host: 'verda', targets: [target] } as unknown as Job,
    now,
    stores: new Map([[target, store]]),
    broken: async () => () => undefined,
    acceptShrink: false,
    onBytes() {},
    emit() {},
    async notHalfRestored() {},
  } as unknown as JobContext
  const found = await surveyArchive(context, {
    survey: async () => ({ state: 'there', fingerprint: 'f', bytes: 200 * 2 ** 30, warnings: [] }),
    open: () => ({ body: Readable.from([Buffer.from('archive')]), changed: [], warnings: [] }),
  })
  expect((await found.store()).stores.r2).toMatchObject({ status: 'stored' })
  expect(expected['config/env-2026-11-24.tar.gz']).toBe(200 * 2 ** 30)
})
