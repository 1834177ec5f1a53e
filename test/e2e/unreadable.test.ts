import { execFileSync } from 'node:child_process'
import { chmodSync, rmSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readRecord } from '../../lib/record.ts'
import { buildVerda, itemOf, reportOf, settle, type Verda } from '../scripts/verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
})
afterEach(() => verda.dispose())

const later = '2026-11-24T11:00:00Z'
const record = (item: string) => readRecord(verda.read(`config/${item}-2026-11-24.tar.gz.sha256`).toString())

describe.runIf(process.getuid?.() === 0)('what the user who makes the backups may not read', () => {
  const closed = ['file', "it's closed"].map((name) => `home/dev/${name}`)
  const texts = [
    "/home/dev/file cannot be read and is in no backup. On its host: sudo chown -R dev: '/home/dev/file' && chmod -R u+rX '/home/dev/file'",
    "/home/dev/it's closed cannot be read and is in no backup. On its host: sudo chown -R dev: '/home/dev/it'\\''s closed' && chmod -R u+rX '/home/dev/it'\\''s closed'",
  ]
  const backUp = async (now: string, ...args: string[]) => {
    const run = await verda.cron(['--json', '--only', 'home-dev,ufw', ...args], {
      env: { BACKUP_NOW: now, HOME: verda.tmp },
      uid: 65534,
    })
    return { run, item: itemOf(reportOf(run), 'home-dev'), other: itemOf(reportOf(run), 'ufw') }
  }
  const rotated = ({ run }: Awaited<ReturnType<typeof backUp>>) => reportOf(run).rotated
  beforeEach(() => {
    for (let n = 0; n < 9; n++) verda.write(`home/dev/notes-${n}`, 'x')
    verda.write(closed[0] as string, 'root alone', 0o600)
    verda.write(`${closed[1]}/inside`, 'root alone')
    chmodSync(path.join(verda.root, closed[1] as string), 0o700)
    execFileSync('chmod', ['755', verda.folder])
    execFileSync('chown', ['-R', '65534:65534', verda.sfs, verda.tmp])
    settle()
  })

  it('fails its item in every run, names it, and all else is stored', async () => {
    const first = await backUp('2026-11-24T10:00:00Z')
    const second = await backUp(later)
    for (const { run, item, other } of [first, second]) {
      expect(run.code, run.stderr).toBe(1)
      expect(item.status).toBe('failed')
      expect([item.reason, item.incomplete]).toEqual([texts.join(', '), texts.join(', ')])
      expect(item.warnings?.toSorted()).toEqual(texts)
      expect(item.notSaved?.toSorted()).toEqual(texts)
      expect(other.status).not.toBe('failed')
    }
    expect([first, second].map(({ item }) => item.stores.sfs?.status)).toEqual(['stored', 'unchanged'])
    expect(
      record('home-dev')
        ?.warnings?.map(({ kind, path }) => [kind, path])
        .sort(),
    ).toEqual(closed.map((name) => ['unreadable', `/${name}`]))
    for (const name of closed) rmSync(path.join(verda.root, name), { recursive: true })
    settle()
    const { run, item } = await backUp('2026-11-24T12:00:00Z')
    expect([run.code, item.status, item.warnings]).toEqual([0, 'stored', undefined])
  })

  it('is said in words, once for all stores', async () => {
    const run = await verda.cron(['--only', 'home-dev'], { env: { HOME: verda.tmp }, uid: 65534 })
    expect(run.code).toBe(1)
    expect(run.stdout).toMatch(
      /stored home-dev -> sfs: .*\n.* FAILED home-dev: \/home\/dev\/file cannot be read/,
    )
    expect(run.stdout.trimEnd()).toMatch(/FAILED backup-cron: .*1 failed \(home-dev\)$/)
  })

  it('below a folder that is closed is never called absent: not by the run, nor doctor, nor status', async () => {
    verda.write('etc/nginx/nginx.conf', 'events {}')
    chmodSync(path.join(verda.root, 'etc'), 0o700)
    const user = { env: { HOME: verda.tmp, VERDA_SSH: 'local' }, uid: 65534 }
    const run = await verda.cron(['--json', '--only', 'nginx'], user)
    const reason =
      '/etc/nginx on verda: it cannot be opened, so its content is unknown; /etc cannot be entered'
    expect([run.code, itemOf(reportOf(run), 'nginx').status]).toEqual([1, 'failed'])
    expect(itemOf(reportOf(run), 'nginx').reason).toContain(reason)
    const doctor = await verda.script('doctor', ['--only', 'sources'], user)
    expect(doctor.stdout).toMatch(new RegExp(`WRONG +(sources )?nginx: ${reason}`, 'i'))
    const status = await verda.script('status', ['--stores', 'sfs'])
    expect(status.stdout.replace(/\s+/g, ' ')).toContain(`failed for nginx (SFS cache): ${reason}`)
  })

  it('counts as gone when an item is compared with its last backup, and rotates none of the older ones', async () => {
    for (const name of closed) execFileSync('chown', ['-R', '65534', path.join(verda.root, name)])
    for (let day = 1; day <= 9; day++)
      await verda.run({ only: ['home-dev'], now: `2026-11-0${day}T10:00:00Z` })
    execFileSync('chown', ['-R', '65534:65534', verda.sfs])
    const note = (n: number) => path.join(verda.root, `home/dev/notes-${n}`)
    chmodSync(note(1), 0)
    const one = await backUp('2026-11-24T10:00:00Z')
    expect(one.item.stores.sfs?.status).toBe('stored')
    expect(rotated(one)).toEqual([])
    for (let n = 0; n < 9; n++) chmodSync(note(n), 0)
    const most = await backUp('2026-11-24T12:00:00Z')
    expect(most.item.stores.sfs?.error).toMatch(/home-dev: \/home\/dev shrank from \d+ files to \d+ files/)
    for (let n = 0; n < 9; n++) chmodSync(note(n), 0o644)
    expect(rotated(await backUp('2026-11-24T13:00:00Z'))).not.toEqual([])
  })
})
