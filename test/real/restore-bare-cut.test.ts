import { readdirSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { BareMachine } from '../servers/bare-machine.ts'
import { type LostVerda, lostVerda } from './lost-verda.ts'
import { backUp, mountShare, restore, restoreAll, unpackToolkit, whatIsWrong } from './restore-bare.ts'

let world: LostVerda
beforeAll(async () => {
  world = await lostVerda()
})
afterAll(() => world?.dispose())

const marker = '/var/lib/comfyume-backup/restoring'
const command = `${restoreAll} --yes`

/** A rented machine that is not empty: whatever differs is moved aside, and must not be lost. */
async function begun(): Promise<BareMachine> {
  const machine = await world.newMachine()
  await machine.do(`
    mkdir -p /home/dev/odd /etc/nginx/sites-enabled /root/.ssh
    echo 'of the new machine' >/home/dev/.zsh_history
    echo 'of the new machine' >'/home/dev/odd/from 1999'
    echo 'of the new machine' >/etc/nginx/sites-enabled/default
    echo 'ssh-ed25519 AAAAcloud console' >/root/.ssh/authorized_keys`)
  await machine.do(mountShare)
  await machine.do(unpackToolkit)
  return machine
}

/** Everything is back, and whatever was moved aside is kept, in whichever run. */
async function expectWhole(machine: BareMachine): Promise<void> {
  for (const file of [
    '/home/dev/.zsh_history',
    '/home/dev/odd/from 1999',
    '/etc/nginx/sites-enabled/default',
  ])
    expect(await machine.do(`cat /var/lib/comfyume-backup/kept-aside/*'${file}'`)).toBe(
      'of the new machine\n',
    )
  const keys = machine.read('/root/.ssh/authorized_keys')
  expect(keys).toBe('ssh-ed25519 AAAAcloud console\nssh-ed25519 AAAA someone\n')
  const wrong = await whatIsWrong(machine, world)
  // Merged on purpose.
  expect(wrong.filter((line) => !line.startsWith('"/root/.ssh/authorized_keys"'))).toEqual([])
}

/** Cuts the power once the run prints this text. No backup may be made of the result. */
async function cutAt(machine: BareMachine, text: string): Promise<void> {
  const run = machine.start(command)
  await run.said(text)
  await run.kill()
}

describe('cut at the beginning of each step in turn, on one machine', () => {
  let machine: BareMachine
  let steps: string[]
  beforeAll(async () => {
    machine = await begun()
    const { stdout } = await machine.run(`${restoreAll} --dry-run`)
    steps = [...stdout.matchAll(/^ {2}\d+\. +(\S+)/gm)].map(([, name = '']) => name)
  })

  test('every cut leaves a machine that no backup captures, and on which the next run gets further', async () => {
    expect(steps.length).toBeGreaterThan(20)
    for (const step of steps.slice(0, -1)) {
      await cutAt(machine, ` ${step}: `)
      expect(machine.exists(marker), step).toBe(true)
    }
  })

  test('backups say why they make none', async () => {
    await machine.do(mountShare)
    const before = readdirSync(path.join(world.cache, 'config'))
    const { code, stdout, stderr } = await machine.run(backUp())
    expect(code).toBe(1)
    expect(stdout + stderr).toMatch(/restore/)
    expect(readdirSync(path.join(world.cache, 'config'))).toEqual(before)
  })

  test('a run that finds no copy does not call whole what an earlier one left half', async () => {
    machine.write(marker, `${machine.read(marker)}home-dev\n`)
    const { code } = await machine.run(restore('--only home-dev --from mello --yes'))
    expect(code).toBe(1)
    expect(machine.read(marker)).toMatch(/^home-dev$/m)
  })

  test('the last run finds all done but the end, and everything is whole', async () => {
    const { code, stdout } = await machine.run(command)
    expect(code, stdout).toBe(0)
    await expectWhole(machine)
  })
})

describe('cut while files are unpacked, moved and loaded', () => {
  let machine: BareMachine
  afterEach(() => machine?.dispose())

  test('at random moments, again and again, until one run gets through', async () => {
    machine = await begun()
    let cuts = 0
    for (let within = 300; cuts < 8; within += 350) {
      const run = machine.start(command)
      await run.said('Steps:')
      await sleep(within + Math.random() * 200)
      await run.kill()
      cuts += 1
      // No system file is half-written: each is either the old or the new one.
      const state = '/var/lib/tailscale/tailscaled.state'
      if (machine.exists(state)) expect(machine.read(state)).toContain('of Verda')
    }
    const { code, stdout } = await machine.run(command)
    expect(code, stdout).toBe(0)
    await expectWhole(machine)
  })
})
