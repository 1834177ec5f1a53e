import { randomBytes } from 'node:crypto'
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { whatIsUnreadable } from '../../lib/acceptance.ts'
import { filesCapture } from '../../lib/capture/files.ts'
import { imageCapture } from '../../lib/capture/image.ts'
import { readModel } from '../../lib/capture/models.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { Source } from '../../lib/inventory.ts'
import { canHang, onMounts, whileHanging } from '../servers/hanging-mounts.ts'
import { reportOf, settle } from './verda.ts'
import { buildWorkshop, type Workshop } from './workshop.ts'

/** Sources on file systems whose server is gone: each is left out and named within a time limit. */

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

describe.runIf(canHang)('what hangs', () => {
  test('an optional source, or one on what hangs, is named, and all others are there', async () => {
    const { verda } = workshop
    const capture = (...sources: Source[]) =>
      filesCapture(localHost({ name: 'verda', root: verda.root }), sources)
    verda.write('src/a', 'x')
    symlinkSync('away/here', path.join(verda.root, 'link'))
    settle()
    const sources: Source[] = [
      { path: '/src', required: true },
      { path: '/above/it', required: false },
      { path: '/away', match: 'x*', required: false },
      { path: '/link', required: false },
    ]
    const points = ['away', 'above'].map((name) => path.join(verda.root, name))
    await whileHanging(
      points,
      async () => {
        const files = capture(...sources)
        const survey = await files.survey()
        if (survey.state !== 'there') throw new Error(survey.reason)
        expect(survey.warnings).toEqual([
          { kind: 'hangs', path: '/above/it' },
          { kind: 'hangs', path: '/away/x*' },
          { kind: 'source is a link', path: '/link' },
        ])
        expect(survey.sources?.map(({ source }) => source)).toEqual(['/src', '/link'])
        expect(whatIsUnreadable(survey.warnings)[0]).toMatch(
          /^\/above\/it hangs and is in no backup: .*findmnt -T/,
        )
        // It packs what it announced, and does not wait.
        for await (const _ of files.open(true).body);
        await expect(capture({ path: '/away', required: false }).survey()).rejects.toThrow(/\/away hangs/)
        await expect(capture({ path: '/away', required: true }).survey()).rejects.toThrow(
          /^\/away does not answer on verda: nothing can be backed up; \/away hangs/,
        )
      },
      100,
    )
  })

  test('the only source of an item, after it was looked at, is named as what hangs', async () => {
    const { verda } = workshop
    const capture = filesCapture(localHost({ name: 'verda', root: verda.root }), [
      { path: '/away', required: true },
    ])
    await onMounts(
      [path.join(verda.root, 'away')],
      async ({ behind, hang }) => {
        writeFileSync(path.join(behind, 'a'), 'x')
        settle()
        expect(await capture.survey()).toMatchObject({ state: 'there' })
        hang()
        await expect(buffer(capture.open(true).body)).rejects.toThrow(
          /^\/away on verda: \/away hangs and is in no backup: .*findmnt -T '\/away'; check/,
        )
      },
      100,
    )
  })

  test('all else of an item is stored beside the copy before, never in its place, and the item fails', async () => {
    const { verda } = workshop
    const ssl = async (now: string) => (await verda.run({ only: ['ssl'], now })).item
    verda.write('etc/letsencrypt/live/key.pem', 'key of letsencrypt\n')
    verda.write('etc/ssl/workshop/key.pem', 'key of the workshop\n')
    settle()
    expect((await ssl('2026-11-24T10:00:00Z')).status).toBe('stored')
    await whileHanging(
      [path.join(verda.root, 'etc/letsencrypt')],
      async () => {
        const sameDay = await ssl('2026-11-24T11:00:00Z')
        expect([sameDay.status, sameDay.reason]).toEqual([
          'failed',
          expect.stringMatching(
            /letsencrypt shrank from 1 file to 0 files, .*\/etc\/letsencrypt hangs and is in no backup/,
          ),
        ])
        expect(await ssl('2026-11-25T10:00:00Z')).toMatchObject({
          status: 'failed',
          stores: { sfs: { status: 'stored' } },
          incomplete: expect.stringContaining('/etc/letsencrypt hangs'),
        })
      },
      100,
    )
    expect(verda.members('config/ssl-2026-11-24.tar.gz')).toContain('etc/letsencrypt/live/key.pem')
    expect(verda.members('config/ssl-2026-11-25.tar.gz')).toContain('etc/ssl/workshop/key.pem')
    expect((await ssl('2026-11-25T11:00:00Z')).status).toBe('stored')
    expect(verda.members('config/ssl-2026-11-25.tar.gz')).toContain('etc/letsencrypt/live/key.pem')
  })

  const large = randomBytes(16 * 2 ** 20)

  test('a source that begins to hang while it is read fails its item alone', async () => {
    const { verda } = workshop
    await onMounts(
      [path.join(verda.root, 'etc/fail2ban')],
      async ({ behind, hang }) => {
        writeFileSync(path.join(behind, 'jail.local'), large)
        settle()
        const isBegun = (name: string) =>
          name.includes('fail2ban') && statSync(path.join(verda.cache, 'config', name)).size > 2 ** 20
        const waiting = setInterval(() => verda.names().some(isBegun) && hang(), 20)
        try {
          const { report } = await verda.run({ only: ['fail2ban', 'env'], silentSeconds: 1 })
          expect(report.items.map(({ item, status, reason }) => [item, status, reason])).toEqual([
            [
              'fail2ban',
              'failed',
              expect.stringMatching(/\/etc\/fail2ban on verda began to hang while it was read: .*findmnt -T/),
            ],
            ['env', 'stored', undefined],
          ])
        } finally {
          clearInterval(waiting)
        }
      },
      100,
    )
    expect(verda.names().filter((name) => /fail2ban/.test(name))).toEqual([])
    expect((await verda.run({ only: ['fail2ban'] })).item.status).toBe('stored')
  })

  test('a model that begins to hang while it is read fails, and says so', async () => {
    const { verda } = workshop
    const host = localHost({ name: 'verda', root: verda.root, silentSeconds: 1 })
    await onMounts([path.join(verda.root, 'models/loras')], async ({ behind, hang }) => {
      writeFileSync(path.join(behind, 'a.safetensors'), large)
      const source = { path: '/models', folders: ['loras'], extension: '.safetensors' }
      const body = readModel(host, source, { path: 'loras/a.safetensors' })
      body.once('data', hang)
      await expect(finished(body)).rejects.toThrow(
        /^\/models\/loras\/a.safetensors on verda began to hang while it was read/,
      )
    })
  })

  test('a container engine that hangs fails its image, and says so', async () => {
    const { verda } = workshop
    const engine = path.join(verda.folder, 'hanging-engine')
    writeFileSync(engine, '#!/bin/sh\nexec sleep 1000\n', { mode: 0o755 })
    const host = localHost({ name: 'verda', root: verda.root })
    await expect(imageCapture(host, 'comfyume-admin', 'comfyume-admin:1', engine).survey()).rejects.toThrow(
      /hanging-engine on verda hangs: it said nothing about comfyume-admin within 60 s/,
    )
  })

  const live = (name: string) => path.join(workshop.verda.root, 'mnt/sfs/models', name)

  test('a mount below the models, and a link into it, are named; all other models are stored', async () => {
    const slow = live('loras/slow mount')
    mkdirSync(slow, { recursive: true })
    workshop.writeModel('loras/near/it.safetensors', 'near')
    symlinkSync('../loras/slow mount/x.safetensors', live('checkpoints/linked.safetensors'))
    const backUp = () => workshop.backupVerda(['--only', 'models', '--json'])
    const run = await whileHanging([slow], backUp, 100)
    expect(run.code).toBe(1)
    const [item] = reportOf(run).items
    expect(item?.reason).toMatch(
      /linked.safetensors hangs.*loras\/slow mount hangs: its file system does not answer/,
    )
    expect(item?.stores.r2?.files?.map(({ key, status }) => `${status} ${key}`)).toEqual([
      'stored checkpoints/base.safetensors',
      'stored loras/near/it.safetensors',
      'stored loras/style.safetensors',
    ])
  })

  test('a models folder fails the models, and no other item', async () => {
    const run = await whileHanging([live('')], () =>
      workshop.backupVerda(['--only', 'models,env', '--to', 'r2', '--json']),
    )
    expect(run.code).toBe(1)
    const found = reportOf(run).items.map(({ item, status, reason }) => [item, status, reason])
    expect(found).toEqual([
      ['env', 'stored', undefined],
      ['models', 'failed', expect.stringMatching(/models on verda does not answer: its file system hangs/)],
    ])
  })

  test('a folder of credentials fails the push, and says why', async () => {
    const run = await whileHanging([path.join(workshop.mello, 'home/dev/comfyume-v1/nginx')], () =>
      workshop.backupMello(['--only', 'credentials', '--json']),
    )
    expect(run.code).toBe(1)
    expect(reportOf(run).items[0]?.reason).toMatch(
      /\.htpasswd cannot be read on mello: its file system does not answer/,
    )
  })
})
