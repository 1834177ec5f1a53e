import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { listName } from '../../lib/chain.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { assess } from '../../lib/status/judge/assess.ts'
import type { Cell } from '../../lib/status/judge/cell.ts'
import { expectedOf } from '../../lib/status/judge/expected.ts'
import { vantageOf } from '../../lib/status/look/access.ts'
import { lookAt, openPlaces } from '../../lib/status/look/place.ts'
import type { Place } from '../../lib/status/look/seen.ts'
import { chainOfHours } from '../restore/chain-maker.ts'

let folder: string
let store: string
const now = new Date('2026-11-24T10:00:00Z')
const archive = (hour: number) => `home-dev-2026-11-24-0${hour}.tar.gz`
const file = (hour: number) => path.join(store, archive(hour))
beforeEach(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'status-chains-'))
  store = path.join(folder, 'mello/config')
  await chainOfHours(folder, store, 5)
})
afterEach(() => rmSync(folder, { recursive: true }))

async function look() {
  const settings = readSettings({ MELLO_BACKUPS: path.join(folder, 'mello'), VERDA_SSH: 'local' })
  await using vantage = vantageOf(settings)
  const [place] = openPlaces('mello', { settings, vantage }) as [Place]
  const shelf = await lookAt(place, expectedOf('production', ['mello']), { settings, now })
  const assessment = assess({
    now,
    drill: true,
    environment: 'production',
    userDataHost: 'mello',
    shelves: [shelf],
  })
  const cell = assessment.cells.find(({ item }) => item === 'home-dev') as Cell
  const words = assessment.findings.filter(({ items }) => items.includes('home-dev')).map(({ what }) => what)
  const unexpected = assessment.findings.filter(({ what }) => what.includes('list.gz'))
  return { cell, words, unexpected, assessment }
}

test('a whole chain is good, its lists are expected, and nothing that a later one builds on is movable', async () => {
  const { cell, unexpected, assessment } = await look()
  expect(cell).toMatchObject({ newest: { key: `config/${archive(4)}` }, links: 5, copies: 5 })
  expect(unexpected).toEqual([])
  expect(assessment.movable).toEqual([])
})

test.each<[string, () => void]>([
  ['gone', () => rmSync(file(2))],
  ['cut short', () => truncateSync(file(2), 50)],
  ['without a record', () => rmSync(`${file(2)}.sha256`)],
])('a link that is %s is named, and the newest good hour is the last before it', async (_, harm) => {
  harm()
  const { cell, words } = await look()
  expect(cell.newest?.key).toBe(`config/${archive(1)}`)
  expect(cell.links).toBe(2)
  expect(words).toContainEqual(
    expect.stringMatching(`^config/${archive(4)} on Mello .*builds on ${archive(2)}, which is gone`),
  )
})

test('an increment whose list is gone is not restorable by itself', async () => {
  rmSync(listName(file(4)))
  expect((await look()).cell.newest?.key).toBe(`config/${archive(3)}`)
  expect(readFileSync(file(4)).length).toBeGreaterThan(0)
})
