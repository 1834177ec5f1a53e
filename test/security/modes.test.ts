import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildWorkshop, type Workshop } from '../scripts/workshop.ts'

/** Everything is run with the umask that lets everybody in, as a careless login or a cron of old may have it. */
let workshop: Workshop
let before: number
const at = (name: string) => path.join(workshop.verda.folder, name)

beforeAll(async () => {
  workshop = await buildWorkshop()
  before = process.umask(0)
  const { verda, backupVerda, backupMello, restore } = workshop
  const runs = [
    await verda.cron(['--only', 'env,home-dev']),
    await backupVerda(['--only', 'env,home-dev', '--json']),
    await backupMello(['--json']),
    await verda.script('status', ['--html', at('page.html')], {}),
    await verda.script('verify', ['--store', 'sfs'], {}),
    await restore(['--only', 'env,home-dev,credentials', '--yes', '--root', at('drill')]),
  ]
  expect(runs.map(({ code }) => code)).toEqual([0, 0, 0, 1, 0, 0])
}, 180_000)
afterAll(async () => {
  process.umask(before)
  await workshop.dispose()
})

/** The paths below some folders that `find` selects. */
const found = (folders: string[], ...tests: string[]) =>
  execFileSync('find', [...folders, ...tests])
    .toString()
    .split('\n')
    .filter(Boolean)

test('what is written to the share, to Mello and into the state folder can be read by its owner alone, whatever the umask', () => {
  const folders = [workshop.verda.cache, workshop.backups, at('state'), at('page.html')]
  expect(found(folders, '-type', 'f').length).toBeGreaterThan(10)
  expect(found(folders, '-type', 'f', '!', '-perm', '0600')).toEqual([])
  expect(found(folders, '-type', 'd', '!', '-perm', '0700')).toEqual([])
})

test('what a restore makes can be written by nobody else, and secrets can be read by nobody else', () => {
  const drill = at('drill')
  expect(found([drill], '-type', 'f').length).toBeGreaterThan(3)
  expect(found([drill], '!', '-type', 'l', '-perm', '/022')).toEqual([])
  for (const secret of ['.env', '.htpasswd']) {
    const [file = ''] = found([drill], '-name', secret)
    expect(found([file], '!', '-perm', '0600')).toEqual([])
  }
})

test('so can the locks, which lie where everybody may write', () => {
  const folders = found(
    ['/run/lock', '/tmp', workshop.verda.tmp],
    '-maxdepth',
    '1',
    '-name',
    `comfyume-backup-${process.getuid?.()}`,
  )
  expect(folders.length).toBeGreaterThan(0)
  expect(found(folders, '(', '-perm', '/077', '-o', '!', '-user', String(process.getuid?.()), ')')).toEqual(
    [],
  )
})

test('nothing of ours is left in the temporary folder', () => {
  expect(
    found(
      [workshop.verda.tmp],
      '-mindepth',
      '1',
      '!',
      '-path',
      '*/comfyume-backup-*',
      '!',
      '-path',
      '*/tsx-*',
    ),
  ).toEqual([])
})
