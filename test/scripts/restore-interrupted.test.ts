import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { buildRestorable, expectWhole, night, outcomeOf, type Restorable, reportOf } from './restorable.ts'

/** An interrupted restore is simply run again; until then the half-restored machine is not backed up. */

let world: Restorable
/** What a plan asks of R2. */
let planned: Restorable['r2']['log']
beforeAll(async () => {
  world = await buildRestorable({ quick: true })
})
afterAll(() => world.dispose())

const marker = (to: string) => path.join(to, 'var/lib/comfyume-backup/restoring')

it('after a kill the marker is there and keeps backup-cron from capturing, until the restore is run to its end', async () => {
  const to = world.drill()
  await world.restore(['--yes', '--json', '--root', to], {
    killAfter: thereIs(path.join(to, 'etc/fail2ban')),
  })
  expect(readFileSync(marker(to), 'utf8')).toMatch(
    /^# The restore of these items is not finished[\s\S]*\ntailscale\n/,
  )
  const env = { VERDA_ROOT: to, SFS_ROOT: path.join(world.verda.folder, 'other-share'), BACKUP_NOW: night }
  const refused = await world.verda.cron(['--only', 'ufw'], { env: { ...env, SFS_CACHE: '' } })
  expect(refused.code).toBe(1)
  expect(refused.stdout).toMatch(/FAILED|failed/)
  expect(refused.stdout).toContain('is half restored (/var/lib/comfyume-backup/restoring is there)')

  // One item alone does not make the machine whole.
  const one = await world.restore(['--only', 'env', '--yes', '--json', '--root', to])
  expect(one.code).toBe(0)
  expect(reportOf(one).pending).toContain('tailscale')
  expect(one.stderr).toMatch(/this machine is not backed up until tailscale, .* are back/)
  await expectWhole(world, to)
})

/** R2 never answers the request, which is the one after `after` others of its kind. */
const stalls = async (operation: string, after = 0) => {
  const before = world.r2.log.length
  world.r2.fail({ operation, how: 'stall', after })
  while (!world.r2.log.slice(before).some(({ fault }) => fault === 'stall')) await sleep(20)
}
/** R2 never answers for an archive; records are read while the restore plans. */
const archiveStalls = async (before: number) => {
  const records = planned.filter(({ operation }) => operation === 'GetObject').length
  await stalls('GetObject', records + before)
}
const toDo = 'To do the rest \\(what is done is skipped\\): '

it.each<
  [phase: string, signal: NodeJS.Signals, only: string, until: (to: string) => Promise<unknown>, RegExp]
>([
  ['looks', 'SIGINT', 'env', () => stalls('ListObjectsV2'), /; nothing was changed\. To start over: /],
  [
    'asks its first archive for bytes',
    'SIGTERM',
    'user-data',
    () => archiveStalls(0),
    RegExp(`\\. Done: nothing\\. Not done: user-data \\(under way\\), user-outputs\\.\\n${toDo}`),
  ],
  [
    'asks its second archive for bytes',
    'SIGINT',
    'user-data',
    () => archiveStalls(1),
    RegExp(`\\. Done: user-data\\. Not done: user-outputs \\(under way\\)\\.\\n${toDo}`),
  ],
  [
    'puts files in place',
    'SIGHUP',
    'config,scripts',
    (to) => thereIs(path.join(to, 'etc/fail2ban')),
    RegExp(`\\. Done: tailscale, .*\\. Not done: .* \\(under way\\).*\\.\\n${toDo}`),
  ],
])(
  'broken off while it %s, by %s: what is done, what is not, and the line that does the rest',
  async (_, signal, only, until, says) => {
    const to = world.drill()
    world.r2.log.length = 0
    await world.restore(['--only', only, '--dry-run', '--root', to])
    planned = world.r2.log.splice(0)
    const run = await world.restore(['--only', only, '--yes', '--root', to], {
      async onStart(pid) {
        await until(to)
        process.kill(pid, signal)
      },
    })
    expect([run.code, run.signal]).toEqual([null, signal])
    const line = `comfyume-backup restore --only ${only} --yes --root ${to}`
    expect(run.stderr.trim()).toMatch(new RegExp(`^restore: interrupted${says.source}${line}$`))
    world.r2.heal()
    expect(await world.restore(line.split(' ').slice(2))).toMatchObject({ code: 0 })
    expect(existsSync(marker(to))).toBe(false)
  },
)

it('SIGTERM while it asks: nothing was changed, and the terminal is as it was', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'env', '--root', to], {
    answers: [
      {
        when: /Type yes to begin: /,
        type(terminal) {
          const node = readFileSync(`/proc/${terminal}/task/${terminal}/children`, 'utf8')
          process.kill(Number(node), 'SIGTERM')
        },
      },
    ],
  })
  expect(run.stdout).toContain(
    `restore: interrupted; nothing was changed. To start over: comfyume-backup restore --only env --root ${to}`,
  )
  expect(existsSync(to)).toBe(false)
})

it('Ctrl-C in verify says that nothing is kept, and the line that starts over', async () => {
  world.r2.log.length = 0
  const run = await world.verda.script('verify', ['--store', 'r2', '--only', 'env'], {
    async onStart(pid) {
      await stalls('GetObject')
      process.kill(pid, 'SIGINT')
    },
  })
  world.r2.heal()
  expect(run.signal).toBe('SIGINT')
  expect(run.stderr).toContain(
    'verify: interrupted; its findings are not kept, and no copy was changed.\nTo start over: comfyume-backup verify --store r2 --only env\n',
  )
})

it('of two at once the second ends with 75 and names the first; another folder is no matter of theirs', async () => {
  const to = world.drill()
  const first = world.restore(['--only', 'env', '--yes', '--json', '--root', to], { ownProcess: true })
  await stalls('ListObjectsV2')
  const second = await world.restore(['--only', 'env', '--yes', '--json', '--root', to])
  expect([second.code, second.stdout]).toEqual([75, ''])
  expect(second.stderr).toMatch(new RegExp(`another restore to ${to} is running: pid \\d+ \\(restore since `))
  const elsewhere = await world.restore([
    '--only',
    'env',
    '--yes',
    '--json',
    '--from',
    'sfs',
    '--root',
    world.drill(),
  ])
  expect(elsewhere.code).toBe(0)
  expect(outcomeOf(await first, 'env').status).toBe('restored')
})

it('a second whole run puts nothing aside', async () => {
  const to = world.drill()
  await expectWhole(world, to)
  const run = await expectWhole(world, to)
  expect(reportOf(run).keptAside).toBeUndefined()
  expect(readdirSync(path.join(to, 'var/lib'))).toEqual(['tailscale'])
})

async function thereIs(file: string): Promise<void> {
  while (!existsSync(file)) await sleep(5)
}
