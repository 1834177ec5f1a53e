import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type BareMachine, bareMachine } from '../servers/bare-machine.ts'

const state = '/var/lib/tailscale/tailscaled.state'

let machine: BareMachine
let outside: string
beforeEach(async () => {
  outside = mkdtempSync(path.join(tmpdir(), 'outside-'))
  machine = await bareMachine()
  await machine.addShims()
})
afterEach(async () => {
  await machine.dispose()
  rmSync(outside, { recursive: true, force: true })
})

test('a call is written down as it was made, in order, and none that the machine made by itself', async () => {
  expect(machine.calls()).toEqual([])
  await machine.cutPower()
  expect(machine.calls()).toEqual([])
  await machine.do(`apt-get update && systemctl restart cron && docker load -i 'a b' || true`)
  expect(machine.calls()).toEqual(['apt-get update', 'systemctl restart cron', "docker load -i 'a b'"])
  expect(machine.calls('systemctl')).toEqual(['systemctl restart cron'])
})

test('a shim fails as long as a test wants it to', async () => {
  machine.failShim('systemctl', 'Failed to connect to bus')
  expect(await machine.run('systemctl start cron')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'Failed to connect to bus\n',
  })
  machine.failShim('systemctl', false)
  await machine.do('systemctl start cron')
})

test('tailscale that is installed while masked takes the identity that was put back first', async () => {
  await machine.do('systemctl mask tailscaled && apt-get update && apt-get install -y tailscale')
  expect((await machine.run('systemctl is-active tailscaled')).stdout).toBe('inactive\n')
  expect(machine.exists(state)).toBe(false)
  const start = await machine.run('systemctl start tailscaled')
  expect(start).toMatchObject({ code: 1, stderr: expect.stringContaining('is masked') })
  expect((await machine.run('tailscale ip -4')).stderr).toContain("doesn't appear to be running")

  machine.write(state, '{"key":"kept","address":"100.89.38.43"}', 0o600)
  await machine.do('systemctl unmask tailscaled && systemctl enable --now tailscaled')
  expect(await machine.do('tailscale ip -4')).toBe('100.89.38.43\n')
  expect(JSON.parse(await machine.do('tailscale status --json'))).toMatchObject({
    BackendState: 'Running',
    Self: { TailscaleIPs: ['100.89.38.43'] },
  })
  await machine.cutPower()
  expect(await machine.do('tailscale ip -4')).toBe('100.89.38.43\n')
})

test('tailscale that is installed unmasked makes a new identity at once, and gets another address', async () => {
  await machine.do('apt-get update && apt-get install -y tailscale')
  expect(machine.exists(state)).toBe(true)
  expect((await machine.run('tailscale ip -4')).code).toBe(1)
  expect((await machine.run('tailscale up')).stderr).toContain('To authenticate, visit:')
  await machine.do('tailscale up --auth-key=file:/root/key')
  expect(await machine.do('tailscale ip -4')).toMatch(/^100\.64\.0\.\d+\n$/)
})

test('systemctl says what is on, and keeps over a cut what is enabled', async () => {
  const { stdout } = await machine.run('systemctl is-active ssh cron fail2ban nothing')
  expect(stdout).toBe('active\nactive\ninactive\ninactive\n')
  expect(await machine.run('systemctl start nothing')).toMatchObject({
    code: 5,
    stderr: 'Failed to start nothing.service: Unit nothing.service not found.\n',
  })
  await machine.do('systemctl disable --now cron && systemctl start fail2ban')
  expect((await machine.run('systemctl is-active cron')).code).toBe(3)
  expect(await machine.do('fail2ban-client status')).toContain('sshd')
  await machine.cutPower()
  expect((await machine.run('systemctl is-active ssh cron fail2ban')).stdout).toBe(
    'active\ninactive\ninactive\n',
  )
  expect((await machine.run('systemctl is-enabled cron')).stdout).toBe('disabled\n')
})

test('sshd is real: it shows the keys in /etc/ssh, and does not start with a key that others may read', async () => {
  const keys = 'ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | cut -d " " -f 2,3'
  const before = await machine.do(keys)
  expect(before).toContain('ssh-ed25519 ')
  await machine.do('rm /etc/ssh/ssh_host_* && ssh-keygen -A && systemctl restart ssh')
  expect(await machine.do(keys)).toBe(await machine.do('cut -d " " -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub'))
  expect(await machine.do(keys)).not.toBe(before)
  await machine.do('chmod 644 /etc/ssh/ssh_host_*_key')
  expect(await machine.run('systemctl restart ssh')).toMatchObject({ code: 1 })
  expect((await machine.run('systemctl is-failed ssh')).stdout).toBe('failed\n')
})

test('fail2ban and the firewall are real, and take what is put into /etc', async () => {
  machine.write('/etc/fail2ban/jail.local', '[sshd]\nenabled = true\nmaxretry = 2\n')
  await machine.do('ufw allow 22/tcp && ufw --force enable && systemctl enable --now fail2ban')
  expect(await machine.do('fail2ban-client get sshd maxretry')).toBe('2\n')
  await machine.cutPower()
  expect(await machine.do('ufw status')).toMatch(/^Status: active/)
  expect(await machine.do('fail2ban-client get sshd maxretry')).toBe('2\n')
  machine.write('/etc/fail2ban/jail.local', '[sshd]\nenabled = perhaps\n[broken\n')
  expect((await machine.run('systemctl restart fail2ban')).code).toBe(1)
})

test('apt-get knows its packages after an update, asks, and tells dpkg', async () => {
  expect(await machine.run('apt-get install -y pigz')).toMatchObject({
    code: 100,
    stderr: 'E: Unable to locate package pigz\n',
  })
  await machine.do('apt-get update')
  expect((await machine.run('apt-get install pigz')).code).toBe(1)
  expect((await machine.run('apt-get install -y pigs')).code).toBe(100)
  await machine.do('DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends pigz git')
  expect(await machine.do(`dpkg-query -W -f '\${db:Status-Status}' pigz`)).toBe('installed')
})

test('an NFS share is mounted, by fstab too, when it was granted', async () => {
  const share = 'nfs.fin-01.example:/SFS-prod-1a2b'
  mkdirSync(path.join(outside, 'cache'))
  expect((await machine.run(`mkdir -p /mnt/sfs && mount -t nfs ${share} /mnt/sfs`)).code).not.toBe(0)
  await machine.do('apt-get update && apt-get install -y nfs-common')
  expect(await machine.run(`mount -t nfs ${share} /mnt/sfs`)).toMatchObject({
    code: 32,
    stderr: `mount.nfs: access denied by server while mounting ${share}\n`,
  })
  machine.grant(share, outside)
  await machine.do(
    `echo '${share} /mnt/sfs nfs defaults,nofail 0 0' >>/etc/fstab && mount /mnt/sfs && mountpoint -q /mnt/sfs`,
  )
  expect(await machine.do('ls /mnt/sfs')).toBe('cache\n')
  expect(machine.calls('mount.nfs').at(-1)).toMatch(`mount.nfs ${share} /mnt/sfs -o rw`)
})

test('docker loads what docker saved, and refuses what is cut short or no image', async () => {
  const image = saveImage('comfyume-worker:v2')
  const load = (content: Buffer) => machine.run('docker load', { input: content })
  expect(await load(image)).toMatchObject({ code: 0, stdout: 'Loaded image: comfyume-worker:v2\n' })
  const inspect = `docker image inspect --format '{{.Id}}{{println}}{{range .RepoTags}}{{.}} {{end}}{{println}}{{.Size}}' comfyume-worker:v2`
  expect(await machine.do(inspect)).toMatch(/^sha256:[0-9a-f]{64}\ncomfyume-worker:v2 \n\d+\n$/)
  await machine.do('docker save comfyume-worker:v2 >/root/saved.tar')
  expect(readFileSync(machine.path('/root/saved.tar')).equals(image)).toBe(true)
  expect(await machine.run('docker image inspect comfyume-admin')).toMatchObject({
    code: 1,
    stderr: 'Error response from daemon: No such image: comfyume-admin:latest\n',
  })

  const compressed = execFileSync('gzip', ['-c'], { input: saveImage('comfyume-admin:latest') })
  expect((await load(compressed.subarray(0, compressed.length / 2))).code).toBe(1)
  expect((await load(image.subarray(0, 3000))).code).toBe(1)
  expect((await load(Buffer.from('nothing of the kind'))).code).toBe(1)
  expect((await machine.run('docker image inspect comfyume-admin')).code).toBe(1)
  expect((await load(compressed)).code).toBe(0)
  await machine.do('docker image inspect comfyume-admin')

  await machine.do('systemctl stop docker')
  expect((await load(image)).stderr).toContain('Cannot connect to the Docker daemon')
})

test('without docker among the packages there is no docker', async () => {
  const another = await bareMachine()
  try {
    await another.addShims({ installed: [] })
    expect((await another.run('command -v docker')).code).toBe(1)
  } finally {
    await another.dispose()
  }
})

/** As `docker save` writes one: a manifest, a configuration and a layer. */
function saveImage(reference: string): Buffer {
  const folder = mkdtempSync(path.join(outside, 'image-'))
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ reference }))
  writeFileSync(path.join(folder, 'layer.tar'), `layer of ${reference} `.repeat(1000))
  const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: ['layer.tar'] }]
  writeFileSync(path.join(folder, 'manifest.json'), JSON.stringify(manifest))
  return execFileSync('tar', ['-C', folder, '-c', 'config.json', 'layer.tar', 'manifest.json'])
}
