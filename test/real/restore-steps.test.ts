import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildVerda, settle, type Verda } from '../scripts/verda.ts'
import { type OwnRoot, openOwnRoot } from './own-root.ts'
import { runRestore } from './run-restore.ts'

/** Steps of the restore to `/` on a machine that is not as empty as it might be. Users and packages are real, ufw and systemd small. */

const project = path.resolve(import.meta.dirname, '../..')

let verda: Verda
let root: OwnRoot
let bin: string
beforeEach(async () => {
  verda = buildVerda()
  root = await openOwnRoot()
  bin = mkdtempSync(path.join(tmpdir(), 'restore-steps-'))
})
afterEach(async () => {
  await root.close()
  verda.dispose()
  rmSync(bin, { recursive: true })
})

async function backUp(item: string) {
  settle()
  expect((await verda.run({ only: [item] })).code).toBe(0)
}

const restore = (item: string) => runRestore(root, verda, ['--only', item], { bin: [bin] })

/** A line of sh on the machine: all that it said. */
function type(line: string): string {
  const [command, ...inside] = root.inside as [string, ...string[]]
  const { stdout, stderr } = spawnSync(command, [...inside, 'sh', '-c', line], { encoding: 'utf8' })
  return (stdout + stderr).trim()
}

function shim(name: string, script: string) {
  writeFileSync(path.join(bin, name), `#!/bin/bash\ncd ${bin}\n${script}`)
  chmodSync(path.join(bin, name), 0o755)
}
const read = (name: string) => readFileSync(path.join(bin, name), 'utf8').trim().split('\n')

/** What ufw 0.36 does and does not do with files that were put below it: `status` shows them, and what is in force is in the file `loaded`. */
const ufw = `
rules=/etc/ufw/user.rules conf=/etc/ufw/ufw.conf
on() { grep -q ENABLED=yes $conf; }
case $1 in
  disable) sed -i s/yes/no/ $conf; rm -f loaded ;;
  allow)
    grep -qx "$2" $rules && { echo 'Skipping adding existing rule'; exit; }
    echo "$2" >>$rules
    ! on || { [ -e loaded ] && echo "$2" >>loaded; } || { echo 'ERROR: problem running' >&2; exit 1; } ;;
  --force) sed -i s/no/yes/ $conf; [ -e loaded ] || cp $rules loaded ;;
  status) on && echo 'Status: active' || echo 'Status: inactive'; sed 's/$/   ALLOW   Anywhere/; p; s/ / (v6) /' $rules ;;
esac
`

test.each(['a firewall that is on already', 'a firewall that is off'])(
  '%s has the restored rules in force afterwards',
  async (name) => {
    verda.write('etc/ufw/user.rules', '9999/tcp\n22/tcp\n')
    verda.write('etc/ufw/ufw.conf', 'ENABLED=yes\n')
    await backUp('ufw')
    shim('ufw', ufw)
    type('mkdir -p /etc/ufw; echo 22/tcp >/etc/ufw/user.rules; echo ENABLED=no >/etc/ufw/ufw.conf')
    if (name.includes('on already')) type(`${bin}/ufw --force enable`)
    const run = await restore('ufw')
    expect(run.code, run.log).toBe(0)
    expect(read('loaded')).toEqual(['9999/tcp', '22/tcp', '41641/udp', '80/tcp', '443/tcp'])
    const again = await restore('ufw')
    expect([again.code, again.step('ufw').status], again.log).toEqual([0, 'unchanged'])
  },
)

test.each([
  ['ssh', 'ssh reloaded'],
  ['sshd', 'sshd reloaded'],
  ['ssh.socket', 'ssh starts with the next connection'],
  ['nothing', 'ssh does not run here'],
])('where %s is active, the host keys come back and the step says: %s', async (active, said) => {
  verda.remove('etc/ssh')
  mkdirSync(path.join(verda.root, 'etc/ssh'))
  execFileSync('ssh-keygen', [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-f',
    path.join(verda.root, 'etc/ssh/ssh_host_ed25519_key'),
  ])
  await backUp('ssh-host-keys')
  shim(
    'systemctl',
    `echo "$@" >>calls\n[ "$1" != is-active ] || { [ "$2" = ${active} ] && echo active || { echo inactive; exit 3; }; }`,
  )
  const run = await restore('ssh-host-keys')
  expect(run.code, run.log).toBe(0)
  expect(run.step('ssh-host-keys').said).toContain(said)
  expect(read('calls').filter((call) => call.startsWith('reload'))).toEqual(
    said.endsWith('reloaded') ? [`reload ${active}`] : [],
  )
  const key = '/etc/ssh/ssh_host_ed25519_key'
  expect(readFileSync(root.at(key))).toEqual(readFileSync(path.join(verda.root, key)))
  expect(statSync(root.at(key)).mode & 0o777).toBe(0o600)
})

test('dev has another number here: while something of it runs nothing is changed, afterwards all is given the number of the backup', async () => {
  execFileSync('chown', ['-R', '1555:1555', path.join(verda.root, 'home/dev')])
  await backUp('home-dev')
  type('groupadd -g 1444 dev; useradd -m -u 1444 -g dev dev; touch /home/dev/own; chown dev: /home/dev/own')
  const passwd = () => type('getent passwd dev; getent group dev; stat -c %u:%g /home/dev/own')
  const before = passwd()
  const [command, ...inside] = root.inside as [string, ...string[]]
  const busy = spawn(command, [...inside, 'setpriv', '--reuid=1444', '--clear-groups', 'sleep', '300'])
  const refused = await restore('home-dev')
  busy.kill()
  expect([refused.code, refused.step('user').status, passwd()]).toEqual([1, 'failed', before])
  expect(refused.step('user').said).toMatch(
    /^dev has number 1444 here and 1555 in the backup, .*sleep.*: log in as root/,
  )

  const run = await restore('home-dev')
  expect(run.code, run.log).toBe(0)
  expect(passwd()).toMatch(/^dev:x:1555:1555:.*\ndev:x:1555:\n1555:1555$/)
})

test('apt: locks of a machine that updates itself are waited for, and configuration that was restored before its package stays', async () => {
  layRepository(bin)
  type(
    `rm -rf /etc/apt/sources.list*; echo 'deb [trusted=yes] file:${bin}/ ./' >/etc/apt/sources.list; echo restored >/etc/probe.conf`,
  )
  const [command, ...inside] = root.inside as [string, ...string[]]
  const holder = spawn(command, [...inside, 'python3', '-c', holding], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((resolve) => holder.stdout.once('data', resolve))
  const started = Date.now()
  setTimeout(() => holder.stdin.end(), 3000)
  const script = `const { aptGet } = await import('${project}/lib/restore/apt.ts')
await aptGet('update')
await aptGet('install', '--no-install-recommends', 'probe')`
  const child = spawn(
    command,
    [...inside, process.execPath, '--import', 'tsx', '--input-type=module', '-e', script],
    {
      cwd: project,
      stdio: ['ignore', 'inherit', 'inherit'],
    },
  )
  expect(await new Promise((resolve) => child.on('close', resolve))).toBe(0)
  expect(Date.now() - started).toBeGreaterThan(3000)
  expect(type(`dpkg-query -W -f '\${Status}\\n' probe; cat /etc/probe.conf`)).toBe(
    'install ok installed\nrestored',
  )
})

/** Holds the lock of apt's lists until its standard input ends. */
const holding = `
import fcntl, sys
lock = open('/var/lib/apt/lists/lock', 'w')
fcntl.lockf(lock, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.read()
`

/** A repository of one package that brings a configuration file. */
function layRepository(folder: string) {
  const content = path.join(folder, 'content')
  mkdirSync(path.join(content, 'DEBIAN'), { recursive: true })
  mkdirSync(path.join(content, 'etc'))
  const control = 'Package: probe\nVersion: 1\nArchitecture: all\nMaintainer: tests\nDescription: a probe\n'
  writeFileSync(path.join(content, 'DEBIAN/control'), control)
  writeFileSync(path.join(content, 'DEBIAN/conffiles'), '/etc/probe.conf\n')
  writeFileSync(path.join(content, 'etc/probe.conf'), "the package's own\n")
  chmodSync(folder, 0o755)
  execFileSync('dpkg-deb', ['--build', '--root-owner-group', content, path.join(folder, 'probe.deb')])
  const deb = readFileSync(path.join(folder, 'probe.deb'))
  const sha256 = createHash('sha256').update(deb).digest('hex')
  writeFileSync(
    path.join(folder, 'Packages'),
    `${control}Filename: ./probe.deb\nSize: ${deb.length}\nSHA256: ${sha256}\n`,
  )
}
