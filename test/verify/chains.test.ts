import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { selectStored } from '../../lib/backup/select.ts'
import { listName } from '../../lib/chain.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import type { VerifyRequest } from '../../lib/verify/plan.ts'
import { planVerify, verify } from '../../lib/verify/verify.ts'
import { chainMaker, chainOfHours } from '../restore/chain-maker.ts'

let folder: string
let store: string
const now = new Date('2026-11-24T20:00:00Z')
const archive = (hour: number) => `home-dev-2026-11-24-0${hour}.tar.gz`
const key = (hour: number) => `config/${archive(hour)}`
const file = (hour: number) => path.join(store, archive(hour))
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'verify-chains-'))
  store = path.join(folder, 'mello/config')
  await chainOfHours(folder, store, 6, (hour) => hour === 5)
})
afterEach(() => rmSync(folder, { recursive: true }))

async function run(asked: Partial<VerifyRequest> = {}) {
  const settings = readSettings({
    MELLO_BACKUPS: path.join(folder, 'mello'),
    SFS_ROOT: path.join(folder, 'sfs'),
    SFS_REQUIRE_MOUNT: '0',
  })
  const request: VerifyRequest = {
    selected: selectStored(['home-dev']),
    named: ['mello'],
    everything: false,
    sample: false,
    adopt: false,
    ...asked,
  }
  const state = path.join(folder, 'state')
  mkdirSync(state, { recursive: true })
  const plan = await planVerify(request, settings, state, now, () => {})
  const order = plan.stores.flatMap(({ reads }) => reads.map((one) => one.key))
  const report = await verify(
    plan,
    settings,
    () => now,
    () => {},
  )
  return { report, order, of: (hour: number) => report.checked.find((one) => one.key === key(hour)) }
}
/** Without the whole one of the last hour. */
const onlyChain = () => {
  for (const name of readdirSync(store).filter((one) => one.includes('-05.'))) rmSync(path.join(store, name))
}
const spoil = (name: string) => {
  const bytes = readFileSync(name)
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
  writeFileSync(name, bytes)
}

test('all links of good chains are good, and a list is no archive', async () => {
  const { report } = await run()
  expect(report.checked.map((one) => [one.key, one.status]).sort()).toEqual(
    [0, 1, 2, 3, 4, 5].map((hour) => [key(hour), 'good']),
  )
  expect(report.ok).toBe(true)
})

test('the newest is read first, then what it builds on, within the bytes that may be read', async () => {
  onlyChain()
  const bytes = (...hours: number[]) => hours.reduce((sum, hour) => sum + readFileSync(file(hour)).length, 0)
  expect((await run({ budget: bytes(4, 3, 2) })).order).toEqual([4, 3, 2].map(key))
  expect((await run({ budget: bytes(1, 0) })).order.sort()).toEqual([0, 1].map(key))
})

describe('a broken link', () => {
  test('says which later hours build on it, up to the next whole one', async () => {
    spoil(file(1))
    const { report, of } = await run()
    expect(report.ok).toBe(false)
    expect(of(1)?.status).toBe('broken')
    expect(of(1)?.advice).toContain(
      `3 later archives build on it and cannot be restored from here alone, from ${key(2)} to ${key(4)}`,
    )
    expect(of(4)?.status).toBe('good')
  })

  test('names the store that has it', async () => {
    onlyChain()
    spoil(file(0))
    const sfs = path.join(folder, 'sfs/cache/config')
    mkdirSync(sfs, { recursive: true })
    const maker = chainMaker(path.join(folder, 'live'), 'home/dev', 'home-dev', sfs)
    await maker.hour('2026-11-24-00')
    // The live folder has moved on: the archive of then is put there by hand.
    const good = readFileSync(file(0))
    good[good.length >> 1] = (good[good.length >> 1] as number) ^ 1
    writeFileSync(path.join(sfs, archive(0)), good)
    writeFileSync(path.join(sfs, `${archive(0)}.sha256`), readFileSync(`${file(0)}.sha256`))
    const { of } = await run()
    expect(of(0)?.advice).toContain(
      `the same content is also in sfs (${key(0)}), and restore takes it from there`,
    )
  })

  test('that is gone with its record is missed by the one that builds on it', async () => {
    for (const end of ['', '.sha256']) rmSync(file(2) + end)
    rmSync(listName(file(2)))
    const { of } = await run()
    expect(of(3)).toMatchObject({ status: 'broken', reason: `builds on ${archive(2)}, which is gone` })
    expect(of(3)?.advice).toMatch(
      /1 later archive builds on it .*no other store .* has home-dev-2026-11-24-02/,
    )
    expect(of(1)?.status).toBe('good')
  })

  test.each([
    ['gone', (name: string) => rmSync(name), / is gone$/],
    ['another one', spoil, / is not the one that its record names$/],
  ])('is one whose list is %s; a whole archive needs none', async (_, harm, reason) => {
    harm(listName(file(3)))
    harm(listName(file(0)))
    const { of } = await run()
    expect(of(3)).toMatchObject({ status: 'broken', reason: expect.stringMatching(reason) })
    expect(of(0)?.status).toBe('good')
  })
})

test('an increment whose record is lost is never adopted', async () => {
  for (const hour of [3, 5]) rmSync(`${file(hour)}.sha256`)
  const { report } = await run({ adopt: true })
  expect(report.adopted.map((one) => one.key)).toEqual([key(5)])
  expect(readdirSync(store)).not.toContain(`${archive(3)}.sha256`)
})

test('what is much less than the last whole one is not adopted, however small the increments are', async () => {
  rmSync(store, { recursive: true })
  const live = path.join(folder, 'live')
  const maker = chainMaker(live, 'home/dev', 'home-dev', store)
  writeFileSync(path.join(live, 'home/dev/large'), randomBytes(100_000))
  await maker.hour('2026-11-24-00')
  writeFileSync(path.join(live, 'home/dev/small'), 'x')
  await maker.hour('2026-11-24-01')
  for (const [hour, bytes] of [
    [2, 20_000],
    [3, 80_000],
  ] as const) {
    writeFileSync(path.join(live, 'home/dev/large'), randomBytes(bytes))
    execFileSync('tar', ['-C', live, '-czf', file(hour), 'home/dev'])
  }
  const { report } = await run({ adopt: true })
  expect(report.adopted.map((one) => one.key)).toEqual([key(3)])
})
