import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { usersData } from '../../demo/verda.ts'
import { buckets } from '../../lib/inventory.ts'
import type { BareMachine } from '../servers/bare-machine.ts'
import { breachesIn, ownerOf } from './buckets.ts'
import { accessTo, images, type LostVerda, lostVerda, models } from './lost-verda.ts'
import { mountShare, restore, restoreAll, unpackToolkit, whatIsWrong } from './restore-bare.ts'
import { toolkitFolder } from './toolkit.ts'

let world: LostVerda
beforeAll(async () => {
  world = await lostVerda({ away: true })
})
afterAll(() => world?.dispose())

/** Adds the operator's settings for R2, with a read-only key. */
function withKeyOfR2(machine: BareMachine): void {
  const settings = Object.entries(accessTo(world.s3, world.s3.readOnly as never))
  machine.write(
    `${toolkitFolder}/.env`,
    machine.read(`${toolkitFolder}/.env`) + settings.map(([name, value]) => `${name}=${value}\n`).join(''),
    0o600,
  )
}

async function reachR2(machine: BareMachine): Promise<void> {
  await machine.reach(Number(new URL(world.s3.endpoint).port))
}

const usersFiles = ['workflows', 'inputs', 'user_data', 'outputs']

describe('from R2 alone, with a key that may only read', () => {
  let machine: BareMachine
  let printed: string
  let code: number | null
  let before: number
  beforeAll(async () => {
    machine = await world.newMachine({ granted: false })
    await reachR2(machine)
    // "Or from R2, with any S3 client".
    const bucket = buckets.cache.name
    const r2 = ownerOf(world.s3)
    const key = [...(await r2.list(bucket)).keys()].find((name) =>
      /^scripts-.*\.tar\.gz$/.test(name),
    ) as string
    r2.close()
    machine.write(`/root/${key}`, await world.s3.raw(bucket, key))
    expect((await machine.run(mountShare)).stderr).toContain('access denied by server')
    await machine.do(unpackToolkit.replace('/mnt/sfs/cache', '/root'))
    withKeyOfR2(machine)
    before = (await world.s3.log()).length
    ;({ code, stdout: printed } = await machine.run(`${restoreAll} --skip-sfs --yes`))
  })

  test('everything is back, the users files too', async () => {
    expect(code, printed).toBe(0)
    await machine.do('rm /root/scripts-*.tar.gz')
    expect(await whatIsWrong(machine, world)).toEqual([])
    for (const name of usersFiles)
      expect(machine.read(`${usersData}/${name}/user001/file`)).toBe(`${name} of user001\n`)
    expect(printed).toMatch(/Z OK restore: \d+ restored, 1 unchanged, 0 skipped, 0 failed/)
  })

  test('models are downloaded, and are what was on the share', async () => {
    expect(printed).toContain(`0 linked, ${models.length} downloaded, 0 there already`)
    for (const name of models) {
      const file = machine.path(`/mnt/sfs/models/${name}`)
      expect(readFileSync(file).equals(readFileSync(path.join(world.share, 'models', name)))).toBe(true)
    }
  })

  test('nothing is mounted, and nothing written to fstab', async () => {
    expect((await machine.run('mountpoint -q /mnt/sfs')).code).not.toBe(0)
    expect(machine.read('/etc/fstab')).not.toContain('/mnt/sfs')
  })

  test('the server saw nothing but reading', async () => {
    const log = (await world.s3.log()).slice(before)
    expect(log.length).toBeGreaterThan(30)
    expect(breachesIn(log, 0)).toEqual([])
    expect(new Set(log.map(({ operation }) => operation))).toEqual(
      new Set([
        'ListObjectsV2',
        'GetObject',
        ...log.flatMap(({ operation }) => (operation === 'HeadObject' ? operation : [])),
      ]),
    )
  })

  test('run again, it changes nothing', async () => {
    const { code, stdout } = await machine.run(`${restoreAll} --skip-sfs --yes`)
    expect(code, stdout).toBe(0)
    expect(stdout).toMatch(
      /Z OK restore: nothing had to be changed, 0 restored, \d+ unchanged, 0 skipped, 0 failed/,
    )
  })
})

describe('from a share whose newest archives are bad, each in another way, and R2', () => {
  let machine: BareMachine
  let printed: string
  let code: number | null
  let share: string
  beforeAll(async () => {
    share = world.copyOfShare()
    const file = (item: string) => {
      const folder = path.join(share, 'cache', images.includes(item) ? '' : 'config')
      const name = readdirSync(folder).find(
        (name) => name.startsWith(`${item}-20`) && name.endsWith('.tar.gz'),
      )
      return path.join(folder, name as string)
    }
    truncateSync(file('tailscale'), 100)
    flip(file('home-dev'))
    flip(file('comfyume-worker'))
    writeFileSync(file('env'), '')
    writeFileSync(`${file('ufw')}.sha256`, 'nonsense\n')
    writeFileSync(file('root-home'), readFileSync(file('ssl')))
    // The right size and a record that fits, but the content is another item's.
    writeFileSync(file('nginx'), readFileSync(file('fail2ban')))
    writeFileSync(
      `${file('nginx')}.sha256`,
      readFileSync(`${file('fail2ban')}.sha256`, 'utf8').replaceAll('fail2ban', 'nginx'),
    )
    machine = await world.newMachine({ granted: share })
    await reachR2(machine)
    await machine.do(mountShare)
    await machine.do(unpackToolkit)
    withKeyOfR2(machine)
    ;({ code, stdout: printed } = await machine.run(`${restoreAll} --yes`))
  })

  test('each bad one gives way to that of R2, and everything is back', async () => {
    expect(code, printed).toBe(0)
    expect(await whatIsWrong(machine, world)).toEqual([])
    for (const item of ['tailscale', 'home-dev', 'comfyume-worker', 'env', 'ufw', 'root-home', 'nginx'])
      expect(printed).toMatch(new RegExp(`Z done ${item}: from r2: `))
    for (const item of ['ssh-host-keys', 'fail2ban', 'comfyume-admin'])
      expect(printed).toMatch(new RegExp(`Z done ${item}: from sfs: `))
  })

  test.each([
    ['home-dev', 'it is not what its record says'],
    ['comfyume-worker', 'it is not what its record says'],
    ['nginx', 'it holds etc/fail2ban.*, which does not belong to nginx here'],
  ])('what is found out on the way about %s is said: %s', (item, reason) => {
    expect(printed).toMatch(new RegExp(`Z note ${item}: \\S+ in sfs is skipped: ${reason}`))
  })

  test('what is seen before the start is in the plan, and tells of the copy that is taken', () => {
    const [plan = ''] = printed.split('Steps:')
    for (const item of ['tailscale', 'env', 'ufw', 'root-home'])
      expect(plan).toMatch(new RegExp(`^ {2}${item} +r2 `, 'm'))
    expect(plan).toMatch(/^SKIPPED tailscale: \S+ in sfs has 100 bytes, and its record says \d+$/m)
    expect(plan).toMatch(/^SKIPPED ufw: \S+ in sfs has a record that cannot be read/m)
    // The copies in R2 are slightly later, but the same.
    expect(plan).not.toMatch(/^NEWER (ssl|scripts|comfyume)/m)
  })

  test('the image that came from R2 is laid into the cache without a complaint', () => {
    expect(printed).not.toMatch(/could not be copied into the SFS cache/)
  })
})

test('from what was copied from Mello into /root, without share and without R2', async () => {
  const machine = await world.newMachine({ granted: false })
  // scp -r ~/backups/verda/. root@<address>:/root/
  const copied = path.join(world.folder, 'copied')
  mkdirSync(copied, { recursive: true })
  machine.mount(world.mello, '/srv/from-mello')
  await machine.do('cp -r /srv/from-mello/. /root/')
  machine.unmount('/srv/from-mello')
  await machine.do(unpackToolkit.replace('/mnt/sfs/cache', '/root'))
  const { code, stdout } = await machine.run(restore('--with-containers --skip-sfs --yes'))
  // Mello has no models: the checklist says so.
  expect(stdout).toMatch(/Z FAILED restore: \d+ restored, 1 unchanged, 2 skipped, 0 failed, wrong: models/)
  expect(code).toBe(1)
  const { stdout: again } = await machine.run(restore('--with-containers --skip-sfs --yes'))
  expect(again).toMatch(/0 restored, \d+ unchanged/)
  await machine.do('rm -r /root/config /root/runs /root/.locks /root/*.tar.gz*')
  expect(await whatIsWrong(machine, world)).toEqual([])
})

/** One bit in the middle. */
function flip(file: string): void {
  const content = readFileSync(file)
  content[content.length >> 1] = (content[content.length >> 1] as number) ^ 1
  writeFileSync(file, content)
}
