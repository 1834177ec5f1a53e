import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { expectNoneLeft, expectRunning, newMark } from '../hosts/processes.ts'
import { type BareMachine, bareMachine } from '../servers/bare-machine.ts'

let machine: BareMachine
let outside: string
beforeEach(async () => {
  machine = await bareMachine()
  outside = mkdtempSync(path.join(tmpdir(), 'outside-'))
})
afterEach(async () => {
  await machine.dispose()
  rmSync(outside, { recursive: true, force: true })
})

test('it is bare: root, this release, no Node, no toolkit, nothing mounted, no network', async () => {
  expect(await machine.do('id -un')).toBe('root\n')
  const release = /^VERSION_CODENAME=.*$/m
  expect(release.exec(machine.read('/etc/os-release'))).toEqual(
    release.exec(readFileSync('/etc/os-release', 'utf8')),
  )
  expect((await machine.run('command -v node npm docker tailscale mount.nfs')).stdout).toBe('')
  expect(machine.exists('/opt/comfyume-backup')).toBe(false)
  expect(await machine.do('ls -A /mnt /home /root/.ssh 2>/dev/null || true')).not.toContain('sfs')
  expect(await machine.do('ip route show table all type unicast')).toBe('')
})

test('what works with files and users is real', async () => {
  await machine.do(`
    set -e
    useradd -m -s /usr/bin/zsh -G sudo dev
    echo 'dev ALL=(root) NOPASSWD: ALL' >/etc/sudoers.d/dev
    su - dev -c 'sudo -n id -un' | grep -qx root
    echo '5 * * * * true' | crontab -
    cd /home/dev
    touch file
    setfacl -m u:dev:r file
    setfattr -n user.kind -v note file
    git init --quiet project
    mv /etc/fail2ban /etc/fail2ban.before`)
  expect(await machine.do('crontab -l')).toBe('5 * * * * true\n')
  expect(await machine.do('getfacl -pc /home/dev/file')).toContain('user:dev:r--')
  expect(await machine.do('getfattr --only-values -n user.kind /home/dev/file')).toBe('note')
  expect(await machine.do('getent passwd dev')).toContain(':/usr/bin/zsh')
})

test('files written in one machine are in no other', async () => {
  const another = await bareMachine()
  try {
    machine.write('/etc/mark', 'mine\n', 0o600)
    await machine.do('rm /etc/hostname')
    expect(machine.read('/etc/mark')).toBe('mine\n')
    expect(await machine.do('stat -c %a /etc/mark')).toBe('600\n')
    expect(readFileSync(machine.path('/etc/mark'), 'utf8')).toBe('mine\n')
    expect(another.exists('/etc/mark')).toBe(false)
    expect(another.read('/etc/hostname')).toBe('bare\n')
    expect(existsSync('/etc/mark')).toBe(false)
  } finally {
    await another.dispose()
  }
  const third = await bareMachine()
  try {
    expect(third.exists('/etc/mark')).toBe(false)
    expect(third.exists('/etc/hostname')).toBe(true)
  } finally {
    await third.dispose()
  }
})

test('a link of the machine leads to its own files', async () => {
  await machine.do('ln -s /etc/link-target /root/link')
  machine.write('/root/link', 'through the link\n')
  expect(machine.read('/etc/link-target')).toBe('through the link\n')
  expect(existsSync('/etc/link-target')).toBe(false)
})

test('a command gets its input, its environment and nothing of ours, and gives both outputs and its code', async () => {
  process.env.BARE_MACHINE_SECRET = 'ours'
  const run = await machine.run('cat; printenv GIVEN BARE_MACHINE_SECRET >&2; exit 7', {
    input: 'a line\n',
    env: { GIVEN: 'yes' },
  })
  delete process.env.BARE_MACHINE_SECRET
  expect(run).toEqual({ code: 7, stdout: 'a line\n', stderr: 'yes\n' })
  expect(await machine.run(['printf', '%s|', 'a b', '$HOME'])).toMatchObject({ stdout: 'a b|$HOME|' })
  await expect(machine.do('echo why >&2; false')).rejects.toThrow('why')
})

test('a daemon that a command leaves behind goes on, and does not hold the command up', async () => {
  const began = performance.now()
  await machine.do('setsid sleep 300 & echo $! >/run/daemon')
  expect(performance.now() - began).toBeLessThan(10_000)
  expect((await machine.run('kill -0 "$(cat /run/daemon)"')).code).toBe(0)
})

test('processes that nobody waits for do not stay as dead ones', async () => {
  await machine.do('for i in 1 2 3; do (sleep 0.1 &); done; sleep 0.5')
  expect(await machine.do('ps -eo stat=')).not.toContain('Z')
})

test('a mounted folder is a mount point, seen from both sides, until it is taken away', async () => {
  writeFileSync(path.join(outside, 'from-outside'), 'out\n')
  expect((await machine.run('mountpoint -q /mnt/sfs')).code).not.toBe(0)
  machine.mount(outside, '/mnt/sfs')
  await machine.do('mountpoint -q /mnt/sfs && cat /mnt/sfs/from-outside && echo in >/mnt/sfs/from-inside')
  expect(readFileSync(path.join(outside, 'from-inside'), 'utf8')).toBe('in\n')

  await machine.cutPower()
  await machine.do('mountpoint -q /mnt/sfs && test -e /mnt/sfs/from-inside')

  const using = machine.start('cd /mnt/sfs && echo there && sleep 300')
  await using.said('there')
  machine.unmount('/mnt/sfs')
  expect((await machine.run('mountpoint -q /mnt/sfs')).code).not.toBe(0)
  expect(await machine.do('ls -A /mnt/sfs')).toBe('')
  await using.kill()
  expect((await machine.run('mountpoint -q /mnt/sfs')).code).not.toBe(0)
  expect(readdirSync(outside).toSorted()).toEqual(['from-inside', 'from-outside'])
})

test('kill ends everything inside, daemons too, and nothing in another machine', async () => {
  const [mine, others] = [newMark(), newMark()]
  const another = await bareMachine()
  try {
    await another.do(`setsid bash -c 'sleep 300; : ${others}' >/dev/null 2>&1 &`)
    const run = machine.start(`
      trap '' TERM INT HUP
      setsid bash -c 'sleep 300; : ${mine}' >/dev/null 2>&1 &
      echo written >/root/before
      echo lost >/run/before
      echo under way
      bash -c 'sleep 300; : ${mine}'`)
    await run.said('under way')
    await expectRunning(mine)
    await run.kill()
    await expectNoneLeft(mine)
    expect(await run.ended).toMatchObject({ code: null, stdout: 'under way\n' })
    await expectRunning(others)
  } finally {
    await another.dispose()
  }
  await expectNoneLeft(others)
  expect(machine.read('/root/before')).toBe('written\n')
  expect(machine.exists('/run/before')).toBe(false)
})

test('it survives being cut off many times', async () => {
  for (let n = 0; n < 30; n++) {
    const run = machine.start(`echo ${n} >>/root/boots && echo done && cat /dev/zero >/root/growing`)
    await run.said('done')
    await run.kill()
  }
  expect(machine.read('/root/boots').trim().split('\n')).toHaveLength(30)
})

test('what does not end in time is cut off, and what it said is told', async () => {
  const mark = newMark()
  const run = machine.run(`echo still here; sleep 300; : ${mark}`, { timeout: 1 })
  await expect(run).rejects.toThrow(/did not end within 1 s: still here/)
  await expectNoneLeft(mark)
  expect((await machine.run('true')).code).toBe(0)
})

test('nothing of it is mounted outside, nor left when it is gone', async () => {
  machine.mount(outside, '/mnt/sfs')
  await machine.do('mount -t tmpfs tmpfs /srv && mount --bind /etc /mnt')
  const { folder } = machine
  expect(mountsBelow(folder)).not.toEqual([])
  expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(folder)
  expect(readdirSync(path.join(folder, 'root'))).toEqual([])
  writeFileSync(path.join(outside, 'stays'), '')
  await machine.dispose()
  expect(mountsBelow(folder)).toEqual([])
  expect(existsSync(folder)).toBe(false)
  expect(readdirSync(outside)).toEqual(['stays'])
})

test('a machine that is gone runs nothing, least of all here', async () => {
  const file = path.join(outside, 'written')
  const { folder } = machine
  await machine.dispose()
  expect((await machine.run(['touch', file], { cwd: '/' })).code).not.toBe(0)
  expect(() => machine.write(file, '')).toThrow()
  expect(existsSync(file)).toBe(false)
  expect(existsSync(folder)).toBe(false)
})

test('when the test itself is killed, no process and no mount of its machine is left', async () => {
  const mark = newMark()
  const node = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      '--input-type=module',
      '--eval',
      `
    import { bareMachine } from ${JSON.stringify(path.resolve(import.meta.dirname, '../servers/bare-machine.ts'))}
    const machine = await bareMachine()
    machine.mount(${JSON.stringify(outside)}, '/mnt/sfs')
    machine.start('setsid sleep 300; : ${mark}')
    console.log(machine.folder)
    await new Promise(() => setTimeout(() => {}, 1e8))`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [said] = await once(node.stdout, 'data')
  const folder = String(said).trim()
  await expectRunning(mark)
  expect(mountsBelow(folder)).not.toEqual([])
  node.kill('SIGKILL')
  await expectNoneLeft(mark)
  await vi.waitFor(() => expect(mountsBelow(folder)).toEqual([]), { timeout: 10_000, interval: 50 })
  rmSync(folder, { recursive: true })
})

test("it can change neither this machine's clock nor its kernel nor its network", async () => {
  // Sets the current time, so it does no harm if it is allowed.
  expect((await machine.run('date -s now')).stderr).toContain('Operation not permitted')
  expect((await machine.run('echo 1 >/proc/sys/vm/drop_caches')).stderr).toContain('Read-only file system')
  const links = readFileSync('/proc/net/dev', 'utf8').split('\n').length
  await machine.do('ip link add name dummy0 type bridge')
  expect(readFileSync('/proc/net/dev', 'utf8').split('\n').length).toBe(links)
})

test('it reaches a port of this machine only when it may, and again after a cut', async () => {
  const answer = 'x'.repeat(3_000_000)
  const server = createServer((_, response) => response.end(answer)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const get = [
    'python3',
    '-c',
    `import urllib.request as u; print(len(u.urlopen('http://127.0.0.1:${port}/').read()))`,
  ]
  try {
    expect((await machine.run(get)).stderr).toContain('Connection refused')
    await machine.reach(port)
    expect(await machine.do(get)).toBe('3000000\n')
    await machine.cutPower()
    expect(await machine.do(get)).toBe('3000000\n')
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('its firewall is real, and its own', async () => {
  await machine.do('ufw allow 22/tcp && ufw --force enable')
  expect(await machine.do('ufw status')).toMatch(/^Status: active\n[\s\S]*\n22\/tcp +ALLOW +Anywhere/)
  expect(await machine.do('iptables -S INPUT')).toContain('-P INPUT DROP')
  const another = await bareMachine()
  try {
    expect(await another.do('ufw status')).toBe('Status: inactive\n')
    expect(await another.do('iptables -S INPUT')).toBe('-P INPUT ACCEPT\n')
  } finally {
    await another.dispose()
  }
})

test('a question can be asked on a terminal', async () => {
  const ask = `test -t 0 && read -rp "sure? " answer && echo "it is $answer"`
  expect(await machine.do(['script', '-qec', `bash -c '${ask}'`, '/dev/null'], { input: 'yes\n' })).toContain(
    'it is yes',
  )
})

/** Every mount of that machine, or in its folder, seen by any process here. */
function mountsBelow(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
          .split('\n')
          .filter((row) => row.includes(folder))
          .map((row) => `${pid}: ${row}`)
      } catch {
        return []
      }
    })
}
