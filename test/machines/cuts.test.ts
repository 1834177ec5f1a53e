import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { randomOf } from '../faults/random.ts'
import { Machine } from './machine.ts'
import { layPlace, prepareVerda, setUpVerda, shareScript, startControl, startVerda } from './workshop.ts'

/** The power of verda, or of the share, is cut at seeded moments of a backup. CUTS: how often. SEED: which moments. */
const cuts = Number(process.env.CUTS ?? 50)
const random = randomOf(Number(process.env.SEED ?? 1))
const place = layPlace('cuts')
const share = new Machine('share', place, { memory: 512 })
const verda = new Machine('verda', place)
let control: Awaited<ReturnType<typeof startControl>>
let seconds = 0

beforeAll(async () => {
  control = await startControl()
  share.prepare(shareScript)
  await prepareVerda(verda)
  await share.boot()
  await verda.boot()
  await startVerda(verda, control.login)
  await setUpVerda(verda)
})
afterAll(async () => {
  for (const machine of [share, verda]) {
    await machine.cut()
    machine.destroy()
  }
  await control.close()
})

const backUp = 'comfyume-backup backup-cron --only config,home-dev 2>&1'
const work = 'head -c 3000000 /dev/urandom >/home/dev/work; date +%N >/etc/nginx/changed'
/** Looks at the share with plain tools: every archive that has a record must be what the record says. */
const bad = `cd /srv/nfs/SFS-prod/cache && find . -name '*.tar.gz.sha256' -execdir sha256sum --quiet -c {} ';' 2>&1`
const recorded = `find /srv/nfs/SFS-prod/cache -name '*.tar.gz.sha256' | wc -l`

test('a backup without a cut', async () => {
  const begun = Date.now()
  expect(await verda.do(backUp, { timeout: 1200 })).toMatch(/ OK backup-cron/)
  seconds = (Date.now() - begun) / 1000
})

test.each(Array.from({ length: cuts }, (_, index) => index + 1))(
  'cut %i: no recorded archive is bad',
  async () => {
    const victim = random.chance(0.5) ? verda : share
    await verda.do(work)
    const run = verda.run(backUp, { timeout: 3000 }).catch((error: Error) => error)
    await sleep(random.next() * seconds * 1000)
    await victim.cut()
    await victim.boot()
    // While the share was away the run waited for it, as a hard mount does.
    const ended = await run
    if (victim === share) expect(ended).toMatchObject({ code: expect.any(Number) })
    else expect(ended).toBeInstanceOf(Error)
    expect(await share.do(bad)).toBe('')
    expect(Number(await share.do(recorded))).toBeGreaterThan(5)
  },
)

test('the next run repairs whatever the cuts left', async () => {
  await verda.do(work)
  expect(await verda.do(backUp, { timeout: 1200 })).toMatch(/ OK backup-cron/)
  expect(await share.do(bad)).toBe('')
  expect(await verda.do('comfyume-backup verify --store sfs 2>&1', { timeout: 1200 })).toMatch(/ OK verify/)
  expect(await share.do(`find /srv/nfs/SFS-prod/cache -name '*.partial*' -o -name '*.next'`)).toBe('')
})
