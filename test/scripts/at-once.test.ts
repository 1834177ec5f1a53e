import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { makePlan } from '../../lib/backup/plan.ts'
import { selectItems } from '../../lib/backup/select.ts'
import { openHosts } from '../../lib/hosts/open.ts'
import type { CommandName } from '../../lib/inventory.ts'
import { readSettings } from '../../lib/settings/settings.ts'
import { openStore } from '../../lib/stores/open.ts'
import { carryOut } from './carry-out.ts'
import { buildWorkshop, type Workshop } from './workshop.ts'

/** Two users or two machines share no lock for an object store: the store itself keeps them apart. */

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

async function runWithoutLocks(command: CommandName, item: string, env: Record<string, string> = {}) {
  const settings = readSettings(workshop.verda.environment(env), ['r2'])
  const plan = makePlan(
    command,
    selectItems({ command, only: [item], ...(item === 'credentials' ? {} : { to: ['r2'] }) }),
    settings,
    settings.now as Date,
  )
  const hosts = openHosts(settings, command)
  try {
    return await carryOut(plan, {
      settings,
      locks: { busy: new Map() },
      host: (name) => hosts.get(name),
      store: (name, bucket) => openStore(name, bucket, settings),
      acceptShrink: false,
      emit() {},
      clock: () => settings.now as Date,
    })
  } finally {
    await hosts.close()
  }
}

it.each<[CommandName, string]>([
  ['backup-mello', 'user-outputs'],
  ['backup-verda', 'comfyume-worker'],
  ['backup-verda', 'models'],
])('%s: four runs of %s at once overwrite nothing, and leave good copies alone', async (command, item) => {
  // Larger than a part, so models are sent in parts that another run could resume.
  workshop.writeModel('loras/large.safetensors', Buffer.alloc(20 * 2 ** 20, 'model'))
  const reports = await Promise.all([1, 2, 3, 4].map(() => runWithoutLocks(command, item)))
  for (const { items } of reports) expect(['stored', 'unchanged', 'failed']).toContain(items[0]?.status)
  const data = workshop.written().filter((key) => !key.includes('.comfyume-backup/'))
  expect(new Set(data).size).toBe(data.length)
  const verified = await workshop.verda.script('verify', ['--store', 'r2', '--only', item])
  expect(verified.code, verified.stdout).toBe(0)
  // A run that lost says so, and the next one finds everything there.
  const next = await runWithoutLocks(command, item)
  expect(next.items[0]).toMatchObject({ status: 'unchanged' })
  const after = workshop.written().filter((key) => !key.includes('.comfyume-backup/'))
  expect(after.filter((key) => !data.includes(key) && !key.includes('/runs/'))).toEqual([])
})

describe('credentials that several push at once', () => {
  const folder = 'home/dev/comfyume-v1'
  const hook = (lines: string) =>
    writeFileSync(path.join(workshop.repository, 'hooks/pre-receive'), `#!/bin/sh\n${lines}\n`, {
      mode: 0o755,
    })
  const push = (env: Record<string, string> = {}) => runWithoutLocks('backup-mello', 'credentials', env)

  it.each([
    ['the first ones of a repository', false],
    ['later ones', true],
  ])('%s: each is on top of the other, and none is lost', async (_, hasHistory) => {
    if (hasHistory) expect((await push()).items[0]?.status).toBe('stored')
    // Each has its clone before the first push is taken.
    hook('sleep 1')
    workshop.write(`${folder}/.env`, 'PASSWORD=another\n')
    const others = ['staging', 'testing'].map((ENVIRONMENT) => ({ ENVIRONMENT }))
    const reports = await Promise.all([push(), ...others.map(push)])
    expect(reports.map(({ items }) => items[0]?.status)).toEqual(['stored', 'stored', 'stored'])
    expect(workshop.git('rev-list', '--count', 'HEAD')).toBe(hasHistory ? '4' : '3')
    expect(workshop.git('ls-tree', '-r', '--name-only', 'HEAD').split('\n')).toEqual([
      '.env',
      'nginx/.htpasswd',
      'staging/.env',
      'staging/nginx/.htpasswd',
      'testing/.env',
      'testing/nginx/.htpasswd',
    ])
    workshop.git('fsck', '--strict')
  })

  it('two machines with other content: both are in the history', async () => {
    await push()
    hook('sleep 1')
    const settings = { MELLO_ROOT: path.join(workshop.verda.folder, 'other') }
    cpSync(workshop.mello, settings.MELLO_ROOT, { recursive: true })
    writeFileSync(path.join(settings.MELLO_ROOT, folder, '.env'), 'PASSWORD=theirs\n')
    workshop.write(`${folder}/.env`, 'PASSWORD=ours\n')
    const reports = await Promise.all([push(), push(settings)])
    expect(reports.map(({ items }) => items[0]?.status)).toEqual(['stored', 'stored'])
    const changes = workshop.git('log', '-p', '--format=', '--', '.env')
    for (const whose of ['ours', 'theirs']) expect(changes).toContain(`+PASSWORD=${whose}`)
    expect(workshop.git('rev-list', '--count', 'HEAD')).toBe('3')
  })

  it('a server that takes nothing is not asked again, and the run says so', async () => {
    await push()
    const tries = path.join(workshop.verda.folder, 'tries')
    hook(`echo try >>${tries}; echo no room here >&2; exit 1`)
    workshop.write(`${folder}/.env`, 'PASSWORD=another\n')
    const { items } = await push()
    expect(items[0]).toMatchObject({
      status: 'failed',
      reason: expect.stringMatching(/git push .*no room here/),
    })
    expect(readFileSync(tries, 'utf8')).toBe('try\n')
  })
})
