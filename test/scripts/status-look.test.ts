import { readFileSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { isWrong } from '../../lib/cli/finding.ts'
import { vantageOf } from '../../lib/status/look/access.ts'
import { gather } from '../../lib/status/look/gather.ts'
import { backUp, settingsAt, statusIn } from './steps.ts'
import { buildWorkshop, cacheBucket, type Workshop } from './workshop.ts'

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

const now = '2026-11-24T10:00:00Z'

test('the mark that Verda is off ends when Verda answers, though only R2 is looked at', async () => {
  const settings = settingsAt(workshop, now)
  const vantage = { ...vantageOf(settings), onVerda: false }
  const since = new Date('2026-11-20T10:00:00Z')
  const options = { settings, vantage, memory: { verdaOff: since }, markOff: false, now: new Date(now) }
  try {
    const { seen, memory } = await gather({ ...options, wanted: new Set(['r2'] as const) })
    expect(seen.verdaOff).toEqual({ since, answers: true })
    expect(memory.verdaOff).toBeUndefined()
  } finally {
    await vantage[Symbol.asyncDispose]()
  }
})

test('or when a run after it brought something from Verda, where this machine has no way to Verda', async () => {
  const settings = settingsAt(workshop, now, { VERDA_SSH: 'nobody@127.0.0.1', SFS_ROOT: '/nowhere' })
  const vantage = vantageOf(settings)
  const look = async (since: string) => {
    const memory = { verdaOff: new Date(since) }
    const options = { settings, vantage, memory, markOff: false, now: new Date(now) }
    return (await gather({ ...options, wanted: new Set(['r2'] as const) })).memory.verdaOff
  }
  try {
    await workshop.backupVerda(['--only', 'env', '--to', 'r2'], { BACKUP_NOW: '2026-11-22T10:00:00Z' })
    expect(await look('2026-11-23T10:00:00Z')).toEqual(new Date('2026-11-23T10:00:00Z'))
    expect(await look('2026-11-21T10:00:00Z')).toBeUndefined()
  } finally {
    await vantage[Symbol.asyncDispose]()
  }
})

test('for the calendar of a page a failed day is known, and what Mello has of a run is not asked of R2 too', async () => {
  const { verda, backupVerda } = workshop
  const env = 'home/dev/comfyume-v1/.env'
  const content = readFileSync(path.join(verda.root, env))
  for (const date of ['21', '22', '23', '24']) {
    if (date === '22') verda.remove(env)
    if (date === '23') verda.write(env, content)
    const time = { BACKUP_NOW: `2026-11-${date}T06:10:00Z` }
    const { code } = await backupVerda(['--only', 'env', '--to', 'mello,r2'], time)
    expect(code).toBe(date === '22' ? 1 : 0)
  }
  const failed = async (calendar: boolean) => {
    const before = workshop.r2.log.length
    const { badDays } = await statusIn(workshop, now, ['mello', 'r2'], calendar)
    const reads = workshop.r2.log.slice(before).filter(({ key }) => key?.startsWith('runs/'))
    return { reads: reads.length, days: badDays.filter(({ item }) => item === 'env') }
  }
  // Of these R2 reads so many that it does not come to those before.
  const hours = Array.from({ length: 24 }, (_, hour) => `${hour}`.padStart(2, '0'))
  const later = hours.map((hour) => `runs/backup-verda-2026-11-23-${hour}-10-01.json`)
  await workshop.r2.put(cacheBucket, later, Buffer.from('{}'))
  const plain = await failed(false)
  expect(plain.reads).toBe(24)
  expect(await failed(true)).toEqual({
    reads: plain.reads,
    days: ['mello', 'r2'].map((store) => ({ item: 'env', store, failed: ['2026-11-22'], missed: [] })),
  })
})

test('credentials are compared with what was pushed, byte by byte', async () => {
  const changed = async () => {
    const { findings } = await statusIn(workshop, now, ['git'])
    return findings.filter(isWrong).map(({ what }) => what)
  }
  await backUp(workshop, 'backup-mello', { now, only: ['credentials'] })
  expect(await changed()).toEqual([])
  workshop.write('home/dev/comfyume-v1/nginx/.htpasswd', 'user001:$apr1$hasH\n')
  expect(await changed()).toEqual([
    expect.stringContaining('nginx/.htpasswd on this machine is not what was'),
  ])
  await backUp(workshop, 'backup-mello', { now, only: ['credentials'] })
  expect(await changed()).toEqual([])
})

test('a live model that no run can take is an alarm before the next run, and a download is told', async () => {
  await backUp(workshop, 'backup-cron', { now, only: ['env'] })
  symlinkSync('/nowhere', path.join(workshop.verda.root, 'mnt/sfs/models/loras/gone.safetensors'))
  workshop.writeModel('loras/new.safetensors', 'half')
  workshop.writeModel('loras/new.safetensors.part', 'half')
  const { findings } = await statusIn(workshop, new Date().toISOString(), ['sfs'])
  const told = findings.filter(({ items }) => items.includes('models'))
  expect(told.map(({ status, what }) => [status, what])).toEqual([
    ['wrong', expect.stringMatching(/^models on \S+: loras\/gone.safetensors is a dangling link/)],
    [
      'warning',
      expect.stringMatching(/loras\/new.safetensors is not whole yet \(loras\/new.safetensors.part/),
    ],
  ])
})
