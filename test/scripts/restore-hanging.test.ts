import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, outcomeOf, type Restorable } from './restorable.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

it('a store that takes connections and never answers is given up before anybody loses patience, and the others serve', async () => {
  world.r2.fail({ operation: 'ListObjectsV2', how: 'stall', times: 10 })
  const since = Date.now()
  const run = await world.restore(['--only', 'env', '--yes', '--json', '--root', world.drill()])
  expect([run.code, outcomeOf(run, 'env').source]).toEqual([0, 'sfs'])
  expect(run.stderr).toContain('NOT LOOKED AT r2: ')
  expect(Date.now() - since).toBeLessThan(90_000)
})
