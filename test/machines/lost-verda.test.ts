import { afterAll, beforeAll, expect, test } from 'vitest'
import { differences, type Stock } from '../../demo/stock.ts'
import { stockOf } from '../real/machine-stock.ts'
import { atRest, fromElsewhere, mountShare, restoreAll, unpackToolkit } from '../real/restore-bare.ts'
import { Machine } from './machine.ts'
import {
  inForce,
  layPlace,
  leftOut,
  prepareVerda,
  restoredPaths,
  setUpVerda,
  shareScript,
  startControl,
  startVerda,
} from './workshop.ts'

/** The story that the toolkit is for: Verda is set up, backed up and destroyed, and a new machine takes its place. */
const place = layPlace('lost-verda')
const share = new Machine('share', place, { memory: 512 })
const verda = new Machine('verda', place)
const fresh = new Machine('new', place)
let control: Awaited<ReturnType<typeof startControl>>
let before: { stock: Stock; inForce: string }
let kept: string[]

beforeAll(async () => {
  control = await startControl()
  share.prepare(shareScript)
  await prepareVerda(verda)
  await share.boot()
})
afterAll(async () => {
  for (const machine of [share, verda, fresh]) {
    await machine.cut()
    machine.destroy()
  }
  await control.close()
})

const look = async (machine: Machine) => ({
  stock: await stockOf(machine, restoredPaths, { whole: [...leftOut, ...fromElsewhere] }),
  inForce: await machine.do(inForce),
})
/** The finished files on the share. */
const onShare = async () =>
  (await share.do('cd /srv/nfs/SFS-prod/cache && find . -name "[!.]*-20*" | sort')).trim().split('\n')
/** What a record does not fit, found with a plain tool. */
const bad = `cd /srv/nfs/SFS-prod/cache && find . -name '[!.]*.sha256' -execdir sha256sum --quiet -c {} ';' 2>&1`

test('verda is set up as the page says, and its first backups are OK', async () => {
  await verda.boot()
  await startVerda(verda, control.login)
  await setUpVerda(verda)
  const plan = await verda.do('comfyume-backup backup-cron --dry-run')
  expect(plan).toContain('tailscale')
  for (const line of ['backup-cron', 'backup-cron --only home-dev,root-home,scripts,containers'])
    expect(await verda.do(`comfyume-backup ${line} 2>&1`, { timeout: 1200 })).toMatch(/ OK backup-cron/)
  await verda.do('comfyume-backup verify --store sfs', { timeout: 1200 })
  before = await look(verda)
  expect(before.inForce).toContain('address 100.64.0.1')
  kept = await onShare()
})

test('verda is destroyed, and the three commands of the page bring everything back', async () => {
  await verda.cut()
  verda.destroy()
  await fresh.boot()
  for (const line of [mountShare, unpackToolkit]) await fresh.do(line)
  expect(await fresh.do(`${restoreAll} --yes 2>&1`, { timeout: 1800 })).toMatch(/ OK restore/)
  await expectSameAsBefore()
})

test('it is all still there after a reboot', async () => {
  await fresh.reboot()
  await fresh.do(
    'systemctl is-system-running --wait; until mountpoint -q /mnt/sfs && tailscale ip -4 && fail2ban-client ping; do sleep 1; done',
  )
  await expectSameAsBefore()
})

test("the next run of the new machine's own cron is OK, and no earlier archive is gone", async () => {
  await fresh.do(`date -s "$(date -d '+1 hour' +%Y-%m-%dT%H:04:55)"
    log=/var/log/comfyume-backup.log
    until grep -qE ' (OK|FAILED|BUSY) backup-cron' $log; do sleep 1; done 2>/dev/null
    while pgrep -f '[b]ackup-cron.ts'; do sleep 1; done >/dev/null; cat $log; grep -q ' OK ' $log`)
  // An archive of the same day is replaced by what changed since.
  expect(await onShare()).toEqual(expect.arrayContaining(kept))
  expect(await share.do(bad)).toBe('')
})

async function expectSameAsBefore() {
  const after = await look(fresh)
  expect(after.inForce).toBe(before.inForce)
  expect(differences(atRest(before.stock), atRest(after.stock))).toEqual([])
}
