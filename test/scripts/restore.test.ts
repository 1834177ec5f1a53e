import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { differences } from '../../demo/stock.ts'
import { items } from '../../lib/inventory.ts'
import { buildRestorable, night, outcomeOf, planOf, type Restorable, reportOf } from './restorable.ts'

let world: Restorable
beforeAll(async () => {
  world = await buildRestorable()
})
afterAll(() => world.dispose())

const noShare = { SFS_CACHE: '/nowhere/cache', SFS_ROOT: '/nowhere' }
const noMello = { MELLO_BACKUPS: '/nowhere/backups' }
const noKeys = { R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' }

it('brings everything back, the same in content, mode, owner, time, links and holes; a second run changes nothing and says so', async () => {
  const to = world.drill()
  const run = await world.restore(['--full', '--yes', '--root', to])
  expect(run.stderr).toBe('')
  expect(run.code, run.stdout).toBe(0)
  expect(await world.differences(to)).toEqual([])
  expect(run.stdout).toMatch(/OK restore: 14 restored, 0 unchanged, 5 skipped, 0 failed/)

  const before = await world.stockOf(to)
  const again = await world.restore(['--full', '--yes', '--root', to])
  expect(again.code).toBe(0)
  expect(differences(before, await world.stockOf(to))).toEqual([])
  expect(again.stdout).toMatch(/OK restore: nothing had to be changed, 0 restored, 14 unchanged/)
})

it.each([
  ['sfs', { ...noKeys, ...noMello }],
  ['r2', { ...noShare, ...noMello }],
  ['mello', { ...noShare, ...noKeys }],
] as const)('brings the machine back from %s alone', async (source, env) => {
  const to = world.drill()
  const run = await world.restore(['--only', 'config,scripts,containers', '--yes', '--json', '--root', to], {
    env,
  })
  expect(run.code, run.stderr).toBe(0)
  for (const outcome of reportOf(run).items) expect(outcome.source, outcome.item).toBe(source)
  expect(await world.differences(to, 'verda')).toEqual([])
})

it('brings the machine back from archives that were copied to /root alone, at its top or in their folders', async () => {
  const to = world.drill()
  const home = path.join(to, 'root')
  cpSync(path.join(world.verda.cache, 'config'), home, { recursive: true })
  mkdirSync(path.join(home, 'config'))
  for (const name of readdirSync(home).filter((one) => one.startsWith('env-')))
    cpSync(path.join(home, name), path.join(home, 'config', name))
  for (const name of readdirSync(home).filter((one) => one.startsWith('env-')))
    writeFileSync(path.join(home, name), '')
  const run = await world.restore(['--only', 'config', '--yes', '--json', '--root', to], {
    env: { ...noShare, ...noKeys, ...noMello },
  })
  expect(run.code, run.stderr).toBe(0)
  for (const outcome of reportOf(run).items) expect(outcome.source, outcome.item).toBe('root')
  expect(outcomeOf(run, 'env').key).toMatch(/root\/config\/env-2026-11-24\.tar\.gz$/)
})

it('--dry-run changes nothing, and its plan is what the run does', async () => {
  const to = world.drill()
  const dry = await world.restore(['--full', '--dry-run', '--json', '--root', to])
  expect(dry.code).toBe(0)
  expect(existsSync(to)).toBe(false)
  const plan = planOf(dry)
  expect(plan.items.map(({ item }) => item)).toEqual(items.map(({ name }) => name))
  const steps = (plan as unknown as { steps: { step: string }[] }).steps.map(({ step }) => step)

  const run = await world.restore(['--full', '--yes', '--json', '--root', to])
  const report = reportOf(run)
  expect(report.steps.map(({ step }) => step)).toEqual(steps)
  expect(report.items.map(({ item }) => item).sort()).toEqual(plan.items.map(({ item }) => item).sort())
  for (const { item, candidates, models } of plan.items) {
    const { source, key, files } = outcomeOf(run, item)
    expect([source, key], item).toEqual([candidates[0]?.source, candidates[0]?.key])
    expect(files?.map((file) => file.path)).toEqual(models?.map((model) => model.path))
  }
  const text = (await world.restore(['--full', '--dry-run', '--root', world.drill()])).stdout
  for (const { item, candidates, kind } of plan.items) {
    const [first] = candidates
    const file = first && (kind === 'repository' ? 'its newest commit' : first.key)
    expect(text).toMatch(
      new RegExp(`^ +${item} +${first?.source ?? 'r2'} .*${file ?? '2 files: 2 to download'}`, 'm'),
    )
  }
})

it('--json prints one document and nothing else, --quiet nothing at all when all goes well', async () => {
  const json = await world.restore(['--only', 'env', '--yes', '--json', '--root', world.drill()])
  expect(Object.keys(reportOf(json))).toEqual(
    expect.arrayContaining([
      'command',
      'startedAt',
      'finishedAt',
      'ok',
      'items',
      'steps',
      'notes',
      'pending',
    ]),
  )
  expect(json.stderr).toContain('done env: from sfs: config/env-2026-11-24.tar.gz')
  const quiet = await world.restore(['--only', 'env', '--yes', '--quiet', '--root', world.drill()])
  expect([quiet.code, quiet.stdout, quiet.stderr]).toEqual([0, '', ''])
})

it('--only takes items and groups, and brings back nothing else', async () => {
  const to = world.drill()
  const run = await world.restore(['--only', 'ufw,user-data', '--yes', '--json', '--root', to])
  expect(run.code).toBe(0)
  expect(reportOf(run).items.map(({ item }) => item)).toEqual(['ufw', 'user-data', 'user-outputs'])
  expect(readdirSync(to).sort()).toEqual(['etc', 'home'])
  expect(readdirSync(path.join(to, 'etc'))).toEqual(['ufw'])
})

it('what is missing is at the top and once, and fails; what there is comes back all the same', async () => {
  const env = { ...noKeys, USER_DATA_HOST: 'verda' }
  const to = world.drill()
  const run = await world.restore(['--yes', '--root', to], { env })
  expect(run.code).toBe(1)
  expect(run.stdout).toContain(`once that is fixed, run again: comfyume-backup restore --yes --root ${to}\n`)
  expect(run.stdout).toContain('11 of 13 items can come back: 10 from sfs, 1 from git; 2 MISSING.')
  expect(run.stdout).toContain('MISSING user-data, user-outputs: r2 not looked at')
  expect(run.stdout.match(/R2_ACCESS_KEY_ID/g)).toHaveLength(1)
  expect(run.stdout).toMatch(/FAILED restore: 11 restored, .* 2 failed \(user-data, user-outputs\)\n$/)
})

it("users' files that lie on Mello are left out where there is no key of R2, and that is no failure", async () => {
  const run = await world.restore(['--yes', '--root', world.drill()], { env: noKeys })
  expect(run.stdout).toContain('11 of 13 items can come back: 10 from sfs, 1 from git; 2 left out.')
  expect(run.stdout).toMatch(/skipped user-data: is on Mello; its copies are in r2, which is not set up here/)
  expect(run.code).toBe(0)
  const named = await world.restore(['--yes', '--only', 'user-outputs', '--root', world.drill()], {
    env: noKeys,
  })
  expect(named.code).toBe(1)
})

it('says that this may be a first deployment when no source has anything', async () => {
  const run = await world.restore(['--yes', '--root', world.drill()], {
    env: { ...noShare, ...noKeys, ...noMello, CREDENTIALS_REPO: '' },
  })
  expect(run.code).toBe(1)
  expect(run.stdout).toMatch(/^NO BACKUP was found.*first deployment: git clone/m)
  for (const source of ['sfs', 'r2', 'mello']) expect(run.stdout).toContain(`NOT LOOKED AT ${source}: `)
  expect(run.stdout).toContain('scp -r ~/backups/verda/. root@')
})

it('fails for an item that was asked for by name and that the flags leave without a source', async () => {
  const run = await world.restore(['--only', 'env', '--from', 'git', '--yes', '--root', world.drill()])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('which the flags leave out')
})

it('tells the time of its plan', async () => {
  const run = await world.restore(['--only', 'env', '--dry-run', '--root', world.drill()])
  expect(run.stdout).toContain(`planned at ${night.slice(0, 16)}Z`)
  expect(run.stdout).toMatch(/ 2026-11-24T10:00Z +16 h /)
})
