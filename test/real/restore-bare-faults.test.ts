import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { BareMachine } from '../servers/bare-machine.ts'
import { type LostVerda, lostVerda } from './lost-verda.ts'
import { shareAddress } from './lost-verda-scripts.ts'
import { mountShare, restore, restoreAll, unpackToolkit, whatIsWrong } from './restore-bare.ts'

let world: LostVerda
beforeAll(async () => {
  world = await lostVerda()
})
afterAll(() => world?.dispose())

let machine: BareMachine
afterEach(() => machine?.dispose())

const state = '/var/lib/tailscale/tailscaled.state'
const marker = '/var/lib/comfyume-backup/restoring'
const full = () => machine.run(`${restoreAll} --yes`)

async function expectWholeAfterwards(): Promise<string> {
  const { code, stdout } = await full()
  expect(code, stdout).toBe(0)
  expect(await whatIsWrong(machine, world)).toEqual([])
  return stdout
}

test('the share was not granted: the console is named, nothing is made up, and once it is granted all comes back', async () => {
  machine = await world.newMachine({ granted: false })
  expect((await machine.run(mountShare)).stderr).toContain('access denied by server')
  // From Mello, with scp.
  const name = readdirSync(world.cache).find((one) => /^scripts-.*gz$/.test(one)) as string
  machine.write(`/root/${name}`, readFileSync(path.join(world.cache, name)))
  await machine.do(unpackToolkit.replace('/mnt/sfs/cache', '/root'))
  await machine.do(`rm /root/${name}`)

  const { code, stdout } = await full()
  expect(code).toBe(1)
  const [plan = '', told = ''] = stdout.split('Steps:')
  expect(plan).toMatch(
    /^NO SHARE: nfs\S+ could not be mounted at \/mnt\/sfs: mount.nfs: access denied .*"share settings"/m,
  )
  expect(plan).toMatch(/^NO BACKUP was found/m)
  expect(told).toMatch(/Z FAILED tailscale: /)
  expect(told).toMatch(/Z done project: cloned into \/home\/dev\/comfyume-v1/)
  expect(told).toMatch(/Z ok firewall: /)
  expect(told).toMatch(/Z FAILED restore: /)
  // Without its identity tailscaled never runs, and no new host keys are made.
  expect(machine.exists(state)).toBe(false)
  expect((await machine.run('systemctl is-active tailscaled')).stdout).toBe('inactive\n')
  expect(await machine.do(`su dev -c 'git -C ~/comfyume-v1 status --short --untracked-files=no'`)).toBe('')
  // No backup has started to come back: this may be a first deployment, whose backups must work.
  expect(machine.exists(marker)).toBe(false)

  machine.grant(shareAddress, world.share)
  await expectWholeAfterwards()
})

test('no package can be had, no docker, no firewall, no room for the home: each is told, the rest is done, and mended it is whole', async () => {
  machine = await world.newMachine({ installed: ['nfs-common'] })
  await machine.do(mountShare)
  await machine.do(unpackToolkit)
  machine.failShim(
    'apt-get',
    "E: Failed to fetch http://archive.ubuntu.com/ubuntu: Temporary failure resolving 'archive.ubuntu.com'",
  )
  await machine.do('mv /usr/sbin/ufw /usr/sbin/ufw.away && mount -t tmpfs -o size=200k tmpfs /home')

  const { code, stdout } = await full()
  expect(code).toBe(1)
  for (const line of [
    /Z FAILED packages: still missing: .*docker\.io or docker-ce, docker-compose-v2 or .*: apt-get update: E: Failed to fetch .* resolving /,
    /Z FAILED tailscale: the identity is back, but tailscaled is not installed/,
    /Z FAILED ufw: .*ufw is not installed: apt-get install ufw, then run again: comfyume-backup restore /,
    /Z FAILED comfyume-worker: there is neither docker nor podman/,
    /Z FAILED home-dev: not enough space .*\/home/,
    /Z done ssh-host-keys: /,
    /Z done root-home: /,
    /Z WRONG address: /,
    /Z WRONG firewall: /,
    /Z WRONG images: /,
    /Z FAILED restore: .* failed \(.*tailscale.*\), wrong: address, firewall, .*images/,
  ])
    expect(stdout).toMatch(line)
  expect(machine.read(marker)).toMatch(/^home-dev$/m)
  expect(machine.read(marker)).not.toMatch(/^root-home$/m)

  machine.failShim('apt-get', false)
  await machine.do('mv /usr/sbin/ufw.away /usr/sbin/ufw && umount /home')
  const again = await expectWholeAfterwards()
  expect(again).toMatch(/Z done packages: installed .*docker\.io, docker-compose, tailscale/)
  expect(again).toMatch(/Z unchanged root-home: /)
})

test('a machine that somebody has begun to set up: other numbers, another tailscale identity, an old fstab', async () => {
  machine = await world.newMachine()
  await machine.do(`
    useradd -m -u 1000 ubuntu
    useradd -m -u 1001 -s /usr/bin/zsh dev
    install -o dev -g dev -m 600 /dev/null /home/dev/own
    apt-get update && apt-get install -y tailscale && echo key >/root/key && tailscale up --auth-key=file:/root/key
    rm /root/key
    echo '${shareAddress}-old /mnt/sfs nfs defaults 0 0' >>/etc/fstab`)
  const fresh = await machine.do('tailscale ip -4')
  await machine.do(mountShare)
  await machine.do(unpackToolkit)

  const { code, stdout } = await full()
  expect(code).toBe(1)
  expect(stdout).toMatch(
    /Z FAILED user: in the backup dev has number 1000, which here is ubuntu's, so .*\(usermod -u 60001 ubuntu && groupmod -g 60001 ubuntu\)/,
  )
  expect(stdout).toMatch(/Z done tailscale: .*tailscaled started/)
  expect(await machine.do('tailscale ip -4')).not.toBe(fresh)
  expect(await machine.do(`cat /var/lib/comfyume-backup/kept-aside/*${state}`)).toContain(fresh.trim())
  const fstab = machine.read('/etc/fstab')
  expect(fstab).toContain(`# before the restore: ${shareAddress}-old /mnt/sfs nfs`)

  await machine.do('usermod -u 60001 ubuntu && groupmod -g 60001 ubuntu')
  const { code: then, stdout: again } = await full()
  expect(then, again).toBe(0)
  expect(again).toMatch(/Z done user: dev has number 1000/)
  expect(await machine.do('stat -c %U /home/dev/own')).toBe('dev\n')
  await machine.do('touch -r /home/dev /tmp/time && rm /home/dev/own && touch -r /tmp/time /home/dev')
  expect(await whatIsWrong(machine, world)).toEqual([])
})

test('fail2ban alone, whose jail reads a log that is not there: fail2ban says which', async () => {
  machine = await world.newMachine({ installed: [] })
  // Some images lack the NFS mount helper; the README says so.
  expect((await machine.run(mountShare)).stderr).toMatch(/helper program|unknown filesystem type 'nfs'/)
  await machine.do('apt-get update && apt-get install -y nfs-common')
  await machine.do(mountShare)
  await machine.do(unpackToolkit)
  const { code, stdout } = await machine.run(restore('--only fail2ban --yes'))
  expect(code).toBe(1)
  expect(stdout).toMatch(
    /Z FAILED fail2ban: from sfs: .*; fail2ban runs no jail: Have not found any log file for comfyume jail\. Make the log/,
  )
  await machine.do('mkdir -p /home/dev/comfyume-v1/logs && touch /home/dev/comfyume-v1/logs/access.log')
  const again = await machine.run(restore('--only fail2ban --yes'))
  expect(again.code, again.stdout).toBe(0)
})
