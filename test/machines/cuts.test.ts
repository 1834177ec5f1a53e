import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { randomOf } from '../faults/random.ts'
import { shareAddress } from '../real/lost-verda-scripts.ts'
import { toolkitFolder } from '../real/toolkit.ts'
import { Machine } from './machine.ts'
import { layPlace, prepareVerda } from './workshop.ts'

/**
 * The power is cut at seeded moments of a backup. CUTS: how often in each place. SEED: which moments. Most
 * cuts are looked at from outside: what they would leave on the disk, while the machine goes on. After the
 * last ones the machine really starts again.
 */
const cuts = Number(process.env.CUTS ?? 50)
const cutsPerRun = 5
const random = randomOf(Number(process.env.SEED ?? 1))
const place = layPlace('cuts')
const share = new Machine('share', place, { memory: 512, data: true })
const verda = new Machine('verda', place, { data: true })

const cache = '/data/SFS-prod/cache'
const backUp = `${toolkitFolder}/scripts/comfyume-backup backup-cron --only nginx,env,ssl,home-dev 2>&1`
const verify = `${toolkitFolder}/scripts/comfyume-backup verify --store sfs 2>&1`
const work = 'head -c 3000000 /dev/urandom >/home/dev/work; date +%N >/etc/nginx/changed'
const patient = { timeout: 1800 }

beforeAll(async () => {
  await prepareVerda(verda, [])
  await verda.boot()
  await verda.do(`cd ${toolkitFolder} && cp .env.example .env && chmod 600 .env && sync`)
})
afterAll(async () => {
  for (const machine of [share, verda]) {
    await machine.cut()
    machine.destroy()
  }
})

/** Prints each record that fits no archive; while an archive is replaced, its next record may be the one. */
const bad = `cd "$1"/SFS-prod/cache && find . -name '*.tar.gz.sha256' | while IFS= read -r record; do
  cd "$(dirname "$record")"
  for one in "$(basename "$record")" "$(basename "$record").next"; do
    sha256sum --status -c "$one" 2>/dev/null && break
  done || echo "$record"
  cd "$OLDPWD"
done`
const records = `cd "$1"/SFS-prod/cache && find . -name '*.sha256' -exec sha256sum {} + | sort`
const unfinished = `find "$1"/SFS-prod/cache -name '*.partial' -o -name '*.next'`
const ask = (script: string) => (folder: string) =>
  execFileSync('bash', ['--norc', '-c', script, 'bash', folder], { encoding: 'utf8' })

const onItsOwnDisk = async () => {
  await verda.do(`mkdir -p ${cache}`)
  return { env: { SFS_ROOT: '/data/SFS-prod', SFS_REQUIRE_MOUNT: '0' } }
}
const onTheShare = async () => {
  share.prepare(`echo '/data *(rw,fsid=0,no_root_squash,no_subtree_check)' >/etc/exports
    systemctl enable nfs-server`)
  await share.boot()
  await share.do(`mkdir -p ${cache} && exportfs -ra`)
  await verda.do(`mkdir -p /mnt/sfs && echo '${shareAddress} /mnt/sfs nfs rw,hard,nofail,_netdev 0 0' >>/etc/fstab
    mount /mnt/sfs`)
  return { env: {} }
}

describe.each([
  { where: "verda's own disk", holder: verda, lay: onItsOwnDisk },
  { where: 'the share', holder: share, lay: onTheShare },
])('on $where', ({ holder, lay }) => {
  let settings: { env: Record<string, string> }
  let seconds = 0
  let inTheMiddle = 0
  beforeAll(async () => {
    settings = await lay()
  })
  const run = () => verda.do(backUp, { ...patient, ...settings })

  test('a backup without a cut', async () => {
    await run()
    await verda.do(work)
    const begun = Date.now()
    expect(await run()).toMatch(/ OK backup-cron/)
    seconds = (Date.now() - begun) / 1000
  })

  test(`${cuts} cuts: no recorded archive is bad, and what a run said is stored is there`, async () => {
    for (let done = 0; done < cuts; ) {
      await verda.do(work)
      const begun = Date.now()
      const running = run()
      const moments = Array.from({ length: cutsPerRun }, () => begun + random.next() * seconds * 1000)
      for (const moment of moments.toSorted((a, b) => a - b)) {
        await sleep(moment - Date.now())
        const left = await holder.ifCutNow((data) => ({
          bad: ask(bad)(data),
          unfinished: ask(unfinished)(data),
        }))
        expect(left.bad).toBe('')
        if (left.unfinished !== '') inTheMiddle++
        done++
      }
      expect(await running).toMatch(/ OK backup-cron/)
      const promised = await holder.do(['bash', '--norc', '-c', records, 'bash', '/data'])
      expect(await holder.ifCutNow(ask(records))).toBe(promised)
    }
    console.log(`${cuts} cuts, ${inTheMiddle} of them in the middle of a file`)
  })

  test.each([...new Set([verda, holder])])(
    'the power of $name is cut, and the next run repairs the rest',
    async (victim) => {
      await verda.do(work)
      const running = run().catch(() => {})
      await sleep(random.next() * seconds * 1000)
      await victim.cut()
      await victim.boot()
      // While the share is away a run waits for it, as a hard mount does.
      await running
      await verda.do(
        'mountpoint -q /data && { ! grep -q /mnt/sfs /etc/fstab || until mountpoint -q /mnt/sfs; do mount /mnt/sfs; sleep 1; done; }',
      )
      await verda.do(work)
      expect(await run()).toMatch(/ OK backup-cron/)
      expect(await holder.do(['bash', '--norc', '-c', `${bad}; ${unfinished}`, 'bash', '/data'])).toBe('')
      expect(await verda.do(verify, { ...patient, ...settings })).toMatch(/ OK verify/)
    },
  )
})
