import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { NotChecked, ok, wrong } from '../../lib/cli/finding.ts'
import type { Context } from '../../lib/doctor/context.ts'
import { type GroupedCheck, runChecks } from '../../lib/doctor/run.ts'
import { isFine, merged, type Result, resultLines, summaryLine } from '../../lib/doctor/show.ts'
import { StoreError } from '../../lib/stores/store.ts'

const settingProblems = [{ setting: 'SFS_ROOT', why: 'must be an absolute path' }]
const context = { settingProblems } as unknown as Context
const check = (
  name: string,
  look: GroupedCheck['check'],
  more: Partial<GroupedCheck> = {},
): GroupedCheck => ({
  group: 'stores',
  name,
  what: '',
  check: look,
  ...more,
})

async function resultsOf(checks: GroupedCheck[]): Promise<Result[]> {
  const results: Result[] = []
  for await (const result of runChecks(checks, context)) results.push(result)
  return results
}

test('results come in the order of the checks, and one that hangs holds up no other', async () => {
  const results = await resultsOf([
    check('slow', () => sleep(100).then(() => [ok('late')])),
    check('hanging', () => new Promise(() => {}), { limit: 0.3 }),
    check('quick', () => [ok('early'), wrong('bad', 'mend', 'another')]),
  ])
  expect(results.map(({ name, status, what }) => `${status} ${name}: ${what}`)).toEqual([
    'ok slow: late',
    'wrong hanging: no answer within 0.3 s: the server of a share may be down (see findmnt and dmesg), or the network may lose packets',
    'ok quick: early',
    'wrong another: bad',
  ])
})

test('six at once, as many as one ssh connection bears with room to spare', async () => {
  let running = 0
  let most = 0
  const look = async () => {
    most = Math.max(most, ++running)
    await sleep(10)
    running--
    return [ok('x')]
  }
  const results = await resultsOf(Array.from({ length: 30 }, (_, index) => check(String(index), look)))
  expect(results.map(({ name }) => name)).toEqual(Array.from({ length: 30 }, (_, index) => String(index)))
  expect(most).toBe(6)
})

test('what a check throws is a finding, and stops no other', async () => {
  const results = await resultsOf([
    check('store', () => {
      throw new StoreError('r2 bucket b: could not list: 404 NoSuchBucket. Make it')
    }),
    check('defect', () => Promise.reject(new TypeError('no function'))),
    check('behind', () => Promise.reject(new NotChecked('x is away', 'mend x'))),
    check('setting', () => [ok('never asked')], { uses: ['SFS_CACHE', 'SFS_ROOT'] }),
  ])
  expect(results).toMatchObject([
    {
      status: 'wrong',
      what: 'r2 bucket b: could not list: 404 NoSuchBucket. Make it',
      todo: 'fix this, then run: comfyume-backup doctor --only stores',
    },
    { status: 'wrong', what: expect.stringContaining('the check itself failed: TypeError: no function') },
    { status: 'warning', what: 'not checked: x is away', todo: 'mend x', unchecked: true },
    { status: 'warning', what: 'not checked: SFS_ROOT is wrong' },
  ])
})

test('a line a check, what to do below it; alike ones that are not ok are one line, and the last line names what is wrong', async () => {
  const behind = () => Promise.reject(new NotChecked('r2 does not answer', 'mend "stores r2 server" first'))
  const results = runChecks(
    [
      check('r2 server', () => [wrong('r2 does not answer', 'see the network')]),
      check('r2 cache', behind),
      check('r2 models', behind),
      check('r2 files', () => [wrong('overwrites', 'lock it')]),
      check('r2 images', () => [wrong('overwrites', 'lock it')]),
      check('sfs', () => [ok('93 GB free')]),
      check('mello', () => [ok('93 GB free')]),
    ],
    context,
  )
  const lines: string[] = []
  const checks: Result[] = []
  for await (const { shown, all } of merged(results)) {
    lines.push(resultLines(shown))
    checks.push(...all)
  }
  expect(`${lines.join('\n')}\n${summaryLine({ host: 'mello', checks })}`).toBe(`\
WRONG    stores r2 server: r2 does not answer
         -> see the network
warning  stores r2 cache, r2 models: not checked: r2 does not answer
         -> mend "stores r2 server" first
WRONG    stores r2 files, r2 images: overwrites
         -> lock it
ok       stores sfs: 93 GB free
ok       stores mello: 93 GB free
WRONG doctor on mello: 2 ok, 0 warnings, 2 not checked, 3 wrong: stores r2 server, stores r2 files, stores r2 images`)
})

test.each<[string, Partial<Result>[], string]>([
  [
    'nothing was looked at',
    [{ status: 'warning', unchecked: true }],
    'NOT CHECKED doctor on verda: 0 ok, 0 warnings, 1 not checked, 0 wrong: hosts verda',
  ],
  [
    'one thing is wrong',
    [{ status: 'wrong' }, { status: 'ok' }],
    'WRONG doctor on verda: 1 ok, 0 warnings, 1 wrong: hosts verda',
  ],
  [
    'there are warnings',
    [{ status: 'warning' }, { status: 'ok' }],
    'OK doctor on verda: 1 ok, 1 warning, 0 wrong',
  ],
])('it is only fine when everything was looked at: %s', (_, seen, line) => {
  const checks = seen.map((one) => ({ group: 'hosts', name: 'verda', what: '', ...one }) as Result)
  expect(summaryLine({ host: 'verda', checks })).toBe(line)
  expect(isFine(checks)).toBe(line.startsWith('OK'))
})
