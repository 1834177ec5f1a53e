import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readRecord } from '../../lib/record.ts'
import { type AppendOnlyStore, StoreError } from '../../lib/stores/store.ts'
import { buildVerda, itemOf, reportOf, settle, type Verda } from './verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const later = '2026-11-24T11:00:00Z'
const record = (item: string) => readRecord(verda.read(`config/${item}-2026-11-24.tar.gz.sha256`).toString())

/** A tar that packs as usual but also does something else. */
function tarThat(does: string): Record<string, string> {
  const bin = path.join(verda.folder, 'bin')
  mkdirSync(bin)
  const script = `#!/bin/bash
[[ " $* " == *" --create "* ]] || exec /usr/bin/tar "$@"
echo >>${verda.folder}/packed
/usr/bin/tar "$@"
${does}
`
  writeFileSync(path.join(bin, 'tar'), script)
  chmodSync(path.join(bin, 'tar'), 0o755)
  return { PATH: `${bin}:${process.env.PATH}` }
}
const timesPacked = () => {
  const file = path.join(verda.folder, 'packed')
  return existsSync(file) ? readFileSync(file, 'utf8').length : 0
}
const aChange = 'echo "tar: etc/ufw/user.rules: file changed as we read it" >&2; exit 1'

describe('a warning', () => {
  it('is in the record, and repeated by the runs that find nothing changed, also on a new day', async () => {
    const env = tarThat(aChange)
    await verda.cron(['--only', 'ufw'], { env })
    expect(record('ufw')?.warnings).toEqual([{ kind: 'changed', path: 'etc/ufw/user.rules' }])
    for (const now of [later, '2026-11-25T11:00:00Z']) {
      const { item } = await verda.run({ only: ['ufw'], now })
      expect(item).toMatchObject({
        status: 'unchanged',
        warnings: ['etc/ufw/user.rules changed while it was read, twice'],
      })
    }
  })

  it('of a time in the future is given by every run, and the item is stored once', async () => {
    verda.write('home/dev/a.db-wal', 'log of a database\n')
    const future = new Date('2049-01-01T00:00:00Z')
    utimesSync(path.join(verda.root, 'home/dev/a.db-wal'), future, future)
    settle()
    const first = await verda.run({ only: ['home-dev'] })
    const second = await verda.run({ only: ['home-dev'], now: later })
    expect([first.item.status, second.item.status]).toEqual(['stored', 'unchanged'])
    for (const { item } of [first, second])
      expect(item.warnings).toEqual([
        'a file in /home/dev has a time in the future: set the clock right, then touch it',
      ])
  })
})

describe('a large item', () => {
  const rules = () => path.join(verda.root, 'etc/ufw/user.rules')

  it('that changes while it is read is read once, and the record names what changed', async () => {
    truncateSync(rules(), 300 * 2 ** 20)
    settle()
    const run = await verda.cron(['--only', 'ufw'], { env: tarThat(aChange) })
    expect(run.code).toBe(0)
    expect(timesPacked()).toBe(1)
    expect(record('ufw')?.changed).toEqual(['etc/ufw/user.rules'])
  })

  it('that shrank is refused before a byte is read, and taken with --accept-shrink', async () => {
    truncateSync(rules(), 300 * 2 ** 20)
    settle()
    await verda.run({ only: ['ufw'] })
    truncateSync(rules(), 100 * 2 ** 20)
    settle()
    const env = { ...tarThat(''), BACKUP_NOW: later }
    const refused = await verda.cron(['--json', '--only', 'ufw'], { env })
    expect(itemOf(reportOf(refused), 'ufw').reason).toMatch(
      /ufw: \/etc\/ufw shrank from 300 MB to 100 MB, to 33 % \(limit 50 %\)/,
    )
    expect(timesPacked()).toBe(0)
    const accepted = await verda.cron(['--only', 'ufw', '--accept-shrink'], { env })
    expect(accepted.code).toBe(0)
  })
})

it('a restore that begins while an item is read keeps it out of every store', async () => {
  const marker = path.join(verda.root, 'var/lib/comfyume-backup/restoring')
  const env = tarThat(`mkdir -p ${path.dirname(marker)} && touch ${marker}`)
  const run = await verda.cron(['--json', '--only', 'ufw,env'], { env })
  expect(run.code).toBe(1)
  for (const { status, reason } of reportOf(run).items) {
    expect(status).toBe('failed')
    expect(reason).toContain('verda is half restored')
  }
  expect(timesPacked()).toBe(1)
  expect(verda.names()).toEqual([])
})

it('what was backed up and is gone is told in every run until it is back', async () => {
  expect((await verda.run({ only: ['nginx'] })).item.warnings).toBeUndefined()
  verda.write('etc/nginx/nginx.conf', 'events {}\n')
  settle()
  await verda.run({ only: ['nginx'] })
  rmSync(path.join(verda.root, 'etc/nginx'), { recursive: true })
  for (const now of [later, '2026-12-24T11:00:00Z']) {
    const { item } = await verda.run({ only: ['nginx'], now })
    expect(item).toMatchObject({
      status: 'skipped',
      absent: true,
      gone: true,
      warnings: [
        'it is gone from its host; config/nginx-2026-11-24.tar.gz has it as of 2026-11-24T10:00:00.000Z',
      ],
    })
  }
})

it('an optional item that is not there fails in a store that cannot say whether it ever was', async () => {
  const store = (one: AppendOnlyStore): AppendOnlyStore => ({
    ...one,
    list() {
      throw new StoreError(`${one.name}: no answer`)
    },
  })
  const { item, code } = await verda.run({ only: ['nginx'], store })
  expect(item).toMatchObject({ status: 'failed', absent: true, stores: { sfs: { error: 'sfs: no answer' } } })
  expect(code).toBe(1)
})
