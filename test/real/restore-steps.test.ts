import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildVerda, environment, settle, type Verda } from '../scripts/verda.ts'
import { type OwnRoot, openOwnRoot } from './own-root.ts'
import { runRestore } from './run-restore.ts'

/** Steps of a restore to `/` on a machine in use. Users and packages are real, ufw and systemd shims. */

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

/** Runs a line of sh on the machine and returns all output. */
function type(line: string): string {
  const [command, ...inside] = root.inside as [string, ...string[]]
  const { stdout, stderr } = spawnSync(command, [...inside, 'bash', '-c', line], { encoding: 'utf8' })
  return (stdout + stderr).trim()
}

function shim(name: string, script: string) {
  writeFileSync(path.join(bin, name), `#!/bin/bash\ncd ${bin}\n${script}`)
  chmodSync(path.join(bin, name), 0o755)
}
const read = (name: string) => readFileSync(path.join(bin, name), 'utf8').trim().split('\n')

/** Acts like ufw 0.36 when its files change: `status` shows the files, `loaded` holds the active rules. */
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
    expect(read('loaded')).toEqual(['9999/tcp', '22/tcp'])
    expect(run.step('ufw').said).toMatch(/; enabled$/)
    const again = await restore('ufw')
    expect([again.code, again.step('ufw').status], again.log).toEqual([0, 'unchanged'])
  },
)

test('rules that let no ssh in from the world let none in afterwards, also where a later run has no copy of them', async () => {
  verda.write('etc/ufw/user.rules', '443/tcp\n')
  verda.write('etc/ufw/ufw.conf', 'ENABLED=yes\n')
  await backUp('ufw')
  shim('ufw', ufw)
  type('mkdir -p /etc/ufw; echo 22/tcp >/etc/ufw/user.rules; echo ENABLED=no >/etc/ufw/ufw.conf')
  const run = await restore('ufw')
  expect([run.code, read('loaded')], run.log).toEqual([0, ['443/tcp']])
  for (const line of ['true', `${bin}/ufw disable`]) {
    type(line)
    const without = await runRestore(root, verda, ['--only', 'ufw', '--from', 'root'], { bin: [bin] })
    expect(without.code, without.log).toBe(1)
    expect(type('cat /etc/ufw/user.rules')).toBe('443/tcp')
  }
})

test('a firewall that was off when it was backed up stays off: its rules may let nobody in', async () => {
  verda.write('etc/ufw/user.rules', '')
  verda.write('etc/ufw/ufw.conf', 'ENABLED=no\n')
  await backUp('ufw')
  shim('ufw', ufw)
  type('mkdir -p /etc/ufw; echo 22/tcp >/etc/ufw/user.rules; echo ENABLED=yes >/etc/ufw/ufw.conf')
  const run = await restore('ufw')
  expect(run.code, run.log).toBe(0)
  expect(run.step('ufw').said).toMatch(/; left off, as it was when it was backed up$/)
  expect(type(`${bin}/ufw status`)).toBe('Status: inactive')
  expect((await restore('ufw')).step('ufw').status).toBe('unchanged')
})

test('without any copy of the rules the firewall stands all the same, and lets in ssh and the workshop', async () => {
  shim('ufw', ufw)
  type('mkdir -p /etc/ufw; : >/etc/ufw/user.rules; echo ENABLED=no >/etc/ufw/ufw.conf')
  const run = await restore('ufw')
  expect([run.code, run.step('ufw').status], run.log).toEqual([1, 'failed'])
  expect(read('loaded')).toEqual(['22/tcp', '41641/udp', '80/tcp', '443/tcp'])
})

test.each([
  ['production’s .env', 'ENVIRONMENT=production\nPING_URL=https://ping.example/production\n'],
  ['a .env that names no environment', 'R2_ENDPOINT=https://production.example\n'],
])('staging restores production’s toolkit without %s: its cron writes staging’s names', async (_, text) => {
  verda.write('opt/comfyume-backup/package.json', '{}\n')
  verda.write('opt/comfyume-backup/bin/node', 'a runtime\n')
  verda.write('opt/comfyume-backup/.env', text, 0o600)
  await backUp('scripts')
  const staging = { env: { ENVIRONMENT: 'staging', TOOLKIT_DIR: '/opt/comfyume-backup' } }
  for (const status of ['done', 'unchanged']) {
    const run = await runRestore(root, verda, ['--only', 'scripts'], staging)
    expect([run.code, run.step('scripts').status], run.log).toEqual([0, status])
    expect(readFileSync(root.at('/opt/comfyume-backup/.env'), 'utf8')).toBe('ENVIRONMENT=staging\n')
    expect(statSync(root.at('/opt/comfyume-backup/.env')).mode & 0o777).toBe(0o600)
  }
  type('echo ENVIRONMENT=production >/opt/comfyume-backup/.env')
  const wrong = await runRestore(root, verda, ['--only', 'scripts'], staging)
  expect([wrong.code, wrong.step('scripts').said], wrong.log).toEqual([
    1,
    expect.stringMatching(/\.env says ENVIRONMENT=production, and this is staging: .*Set it to staging/),
  ])
})

test('an item that a backup on this machine is reading is left alone until that has ended', async () => {
  await backUp('env')
  const [command, ...inside] = root.inside as [string, ...string[]]
  const script = `const { locksOf, takeLocks } = await import('${project}/lib/backup/locks.ts')
const { readSettings } = await import('${project}/lib/settings/settings.ts')
await takeLocks(locksOf([{ item: 'env', targets: [{ store: 'sfs', bucket: 'cache' }] }], readSettings(process.env)), 'backup-cron')
console.log('held')
process.stdin.resume()`
  const holder = spawn(
    command,
    [...inside, process.execPath, '--import', 'tsx', '--input-type=module', '-e', script],
    {
      cwd: project,
      env: {
        ...environment(verda, { VERDA_ROOT: '', HOME: '/root', TMPDIR: '' }),
        PATH: process.env.PATH,
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  )
  await new Promise((resolve) => holder.stdout.once('data', resolve))
  const busy = await restore('env')
  expect([busy.code, busy.log]).toEqual([
    75,
    expect.stringMatching(
      /restore: env is being backed up: pid \d+ \(backup-cron since .*run again: comfyume-backup restore /,
    ),
  ])
  const gone = new Promise((resolve) => holder.once('close', resolve))
  holder.kill('SIGKILL')
  await gone
  expect((await restore('env')).code).toBe(0)
})

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

test('the credentials come with the ssh key of whose project it is where root has none, and to their owner', async () => {
  const work = path.join(bin, 'work')
  mkdirSync(path.join(work, 'nginx'), { recursive: true })
  writeFileSync(path.join(work, '.env'), 'SECRET=1\n')
  writeFileSync(path.join(work, 'nginx/.htpasswd'), 'user001:x\n')
  const author = ['-c', 'user.name=x', '-c', 'user.email=x@x']
  for (const args of [
    ['init', '--quiet'],
    ['add', '.'],
    [...author, 'commit', '--quiet', '-m', 'x'],
  ])
    execFileSync('git', ['-C', work, ...args])
  execFileSync('chown', ['-R', '1444:1444', work])
  chmodSync(bin, 0o755)
  // Gives the repository to the owner of the key: user 1444.
  shim(
    'ssh',
    `[ "$(id -u)" = 1444 ] || { echo 'Permission denied (publickey).' >&2; exit 255; }\nexec sh -c "\${@: -1}"`,
  )
  type('groupadd -g 1444 dev; useradd -m -u 1444 -g dev dev; install -d -o dev -g dev /home/dev/comfyume-v1')
  const repository = { bin: [bin], env: { CREDENTIALS_REPO: `git@github.example:${work}` } }
  const run = await runRestore(root, verda, ['--only', 'credentials'], repository)
  expect(run.code, run.log).toBe(0)
  expect(readFileSync(root.at('/home/dev/comfyume-v1/.env'), 'utf8')).toBe('SECRET=1\n')
  expect(type('stat -c "%u %a" /home/dev/comfyume-v1/.env /home/dev/comfyume-v1/nginx/.htpasswd')).toBe(
    '1444 600\n1444 600',
  )

  type('rm -r /home/dev/comfyume-v1; chown 1555:1555 /home/dev')
  const refused = await runRestore(root, verda, ['--only', 'credentials'], repository)
  expect([refused.code, refused.step('credentials').said], refused.log).toEqual([
    1,
    expect.stringMatching(
      /cannot be cloned: as this user: .*; with the key of user 1555: .*This must work without a question: sudo -u '#1555' git ls-remote 'git@github\.example:/,
    ),
  ])
})

test('the project is cloned around what came back, and no owner of that changes', async () => {
  const origin = path.join(bin, 'origin')
  mkdirSync(path.join(origin, 'app/inner'), { recursive: true })
  for (const file of ['compose.yml', 'app/inner/main.py', '.env'])
    writeFileSync(path.join(origin, file), 'of git\n')
  symlinkSync('app/inner/main.py', path.join(origin, 'main'))
  const author = ['-c', 'user.name=x', '-c', 'user.email=x@x']
  for (const args of [
    ['init', '--quiet'],
    ['add', '.'],
    [...author, 'commit', '--quiet', '-m', 'x'],
  ])
    execFileSync('git', ['-C', origin, ...args])
  type(`groupadd -g 1444 dev; useradd -m -u 1444 -g dev dev; install -d -o dev -g dev /home/dev/comfyume-v1{,/data}; mkdir /home/dev/comfyume-v1/data/outputs
    cd /home/dev/comfyume-v1; echo restored >.env; chown 33:33 .env data/outputs; touch data/outputs/picture; chown 1777 data/outputs/picture`)
  const script = `const { projectStep } = await import('${project}/lib/restore/steps/project.ts')
const settings = { projectDir: { verda: '/home/dev/comfyume-v1' }, repositories: { project: '${origin}' } }
const step = projectStep({ root: '/', settings, plan: { items: [] } })
const before = await step.done()
console.log(before, JSON.stringify(await step.do()), await step.done())`
  const [command, ...inside] = root.inside as [string, ...string[]]
  const tsx = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script]
  const said = execFileSync(command, [...inside, ...tsx], { cwd: project, encoding: 'utf8' })
  expect(said).toBe(
    'undefined {"said":"cloned into /home/dev/comfyume-v1","changed":true} /home/dev/comfyume-v1 is there\n',
  )
  expect(
    type(
      'cd /home/dev/comfyume-v1; cat .env app/inner/main.py main; stat -c "%n %u" .env data/outputs data/outputs/picture compose.yml app/inner .git main; ls -A',
    ),
  ).toBe(
    [
      'restored\nof git\nof git',
      '.env 33\ndata/outputs 33\ndata/outputs/picture 1777',
      'compose.yml 1444\napp/inner 1444\n.git 1444\nmain 1444',
      '.env\n.git\napp\ncompose.yml\ndata\nmain',
    ].join('\n'),
  )
  expect(
    type(
      'cd /home/dev/comfyume-v1; setpriv --reuid=1444 --regid=1444 --clear-groups env HOME=/tmp git status --short',
    ),
  ).toBe('M .env\n?? data/')
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
  const script = `const { aptGet } = await import('${project}/lib/restore/steps/packages.ts')
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

/** Holds apt's lists lock until its standard input ends. */
const holding = `
import fcntl, sys
lock = open('/var/lib/apt/lists/lock', 'w')
fcntl.lockf(lock, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.read()
`

/** A repository of one package with a configuration file. */
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
