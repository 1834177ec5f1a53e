import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { processesOf } from '../hosts/processes.ts'
import { buildRestorable, expectWhole, type Restorable } from './restorable.ts'

/** A restore that was killed is simply run again. */

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

const preload = path.join(import.meta.dirname, 'kill-at.mjs')

it('killed at any of its calls that change something: the next run makes it whole', async () => {
  const count = path.join(world.verda.folder, 'count')
  const cut = (to: string, more: Record<string, string>) =>
    world.restore(['--yes', '--json', '--root', to], {
      env: { NODE_OPTIONS: `--import=${preload}`, KILL_BELOW: to, ...more },
    })
  const counted = world.drill()
  expect((await cut(counted, { KILL_COUNT: count })).code).toBe(0)
  const calls = Number(readFileSync(count, 'utf8'))
  expect(calls).toBeGreaterThan(50)
  for (const at of [3, Math.floor(calls / 3), Math.floor((calls * 2) / 3), calls - 2]) {
    const to = world.drill()
    expect((await cut(to, { KILL_AT: String(at) })).signal, `call ${at} of ${calls}`).toBe('SIGKILL')
    await expectWhole(world, to)
    rmSync(to, { recursive: true })
  }
})

it('killed at random moments, one after another, it still ends whole, and no process of it stays', async () => {
  const to = world.drill()
  for (let round = 0; round < 3; round++)
    await world.restore(['--yes', '--json', '--root', to], { killAfter: sleep(500 + Math.random() * 1200) })
  await expectWhole(world, to)
  expect(processesOf(to)).toEqual([])
})
