import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { buildVerda, settle, type Verda } from '../scripts/verda.ts'
import { startTailnet, type Tailnet } from '../servers/tailnet.ts'
import type { Daemon } from '../servers/tailscale-daemon.ts'
import { type OwnRoot, openOwnRoot } from './own-root.ts'
import { type Restored, type RestoreRunOptions, runRestore } from './run-restore.ts'
import { layTailnetMachine, type TailnetMachine } from './tailnet-machine.ts'

/** The real restore to `/` with the real tailscaled: identity before the daemon, address checked (law 8). */

let tailnet: Tailnet
beforeAll(async () => {
  tailnet = await startTailnet()
})
afterAll(() => tailnet?.close())

let verda: Verda
/** The backed-up instance, with its address. */
let old: Daemon
let expected: string
/** The new instance: tailscaled is installed and has never run. */
let root: OwnRoot
let machine: TailnetMachine
beforeEach(async () => {
  verda = buildVerda()
  verda.remove('var/lib/tailscale')
  old = await tailnet.startDaemon(path.join(verda.root, 'var/lib/tailscale'))
  await old.up('--hostname=verda')
  expected = await old.address()
  root = await openOwnRoot()
  machine = layTailnetMachine(tailnet, '/')
})
afterEach(async () => {
  await old.stop()
  await machine.close()
  await root.close()
  verda.dispose()
})

const items = ['tailscale', 'env']
const key = () => readFileSync(tailnet.authKeyFile, 'utf8').trim()

async function backUp(now?: string) {
  settle()
  const { report } = await verda.run({ only: items, acceptShrink: true, ...(now ? { now } : {}) })
  expect(report.items.map(({ status }) => status)).toEqual(['stored', 'stored'])
}

/** A backup by an older version, of a state that captures now refuse; env is backed up as usual. */
async function backUpUseless(text: string) {
  writeFileSync(path.join(old.stateDir, 'tailscaled.state'), text)
  settle()
  const { report } = await verda.run({ only: ['env'], acceptShrink: true })
  expect(report.items[0]?.status).toBe('stored')
  const archive = 'tailscale-2026-11-24.tar.gz'
  const script = `tar -C "$1" -cz var/lib/tailscale >"$2/${archive}" && cd "$2" &&
    { printf '# item: tailscale\\n# host: verda\\n# environment: production\\n# time: 2026-11-24T09:00:00Z\\n'
      sha256sum ${archive}; } >${archive}.sha256`
  execFileSync('bash', ['-ec', script, 'bash', verda.root, path.join(verda.cache, 'config')])
}

/** Vanishes like a lost instance, after its last backup. */
async function loseTheOldInstance() {
  await backUp()
  await old.stop()
}

const restore = ({ env, ...options }: RestoreRunOptions = {}): Promise<Restored> =>
  runRestore(root, verda, ['--only', items.join()], {
    env: { VERDA_TAILSCALE_IP: expected, ...env },
    bin: [machine.bin],
    ...options,
  })

/** Runs a line on the new instance and returns all output. */
function type(line: string): string {
  const [command, ...inside] = root.inside as [string, ...string[]]
  const env = { PATH: `${machine.bin}:${process.env.PATH}` }
  const { stdout, stderr } = spawnSync(command, [...inside, 'sh', '-c', line], { env, encoding: 'utf8' })
  return (stdout + stderr).trim()
}
const logIn = () => type(`tailscale up --ssh=false --auth-key=file:${tailnet.authKeyFile}`)
const state = () => JSON.parse(type('tailscale status --json')).BackendState
const unit = () => [type('systemctl is-active tailscaled'), type('systemctl is-enabled tailscaled')]
/** The calls of systemctl and tailscale that change something, oldest first. */
const actions = (since = 0) =>
  machine
    .calls()
    .slice(since)
    .filter((call) => !/ show | is-active | is-enabled | status | ip /.test(`${call} `))
const marker = () => {
  const file = root.at('/var/lib/comfyume-backup/restoring')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(1, -1) : []
}
const inOrder = [
  'systemctl mask tailscaled',
  'systemctl stop tailscaled',
  'systemctl unmask tailscaled',
  'systemctl enable --now tailscaled',
]

test('the identity restored first: the node has its address again, nobody logs in, and tailscaled was masked until then', async () => {
  await loseTheOldInstance()
  const run = await restore()
  expect([run.code, run.step('tailscale').status, run.item('tailscale')], run.log).toMatchObject([
    0,
    'done',
    { status: 'restored', source: 'sfs', key: 'config/tailscale-2026-11-24.tar.gz', verified: true },
  ])
  expect(actions()).toEqual(['systemctl mask tailscaled', ...inOrder])
  expect([type('tailscale ip -4'), state(), unit()]).toEqual([expected, 'Running', ['active', 'enabled']])
  expect(marker()).toEqual([])
})

test('the daemon started first: the node loses its address, and an identity that is unpacked below it then does not bring it back', async () => {
  await loseTheOldInstance()
  type('systemctl enable --now tailscaled')
  logIn()
  const other = type('tailscale ip -4')
  expect(other).toMatch(/^100\.64\./)
  expect(other).not.toBe(expected)

  type(`tar -xzf ${verda.cache}/config/tailscale-2026-11-24.tar.gz -C /`)
  expect(type('tailscale ip -4')).toBe(other)
  type('tailscale set --accept-routes')
  type('systemctl restart tailscaled; until tailscale status; do sleep 0.1; done')
  expect(type('tailscale ip -4')).toBe(other)

  // A restore fixes that mistake: it stops the daemon and moves its state aside.
  const written = readFileSync(root.at('/var/lib/tailscale/tailscaled.state'), 'utf8')
  const calls = machine.calls().length
  const run = await restore()
  expect(run.code, run.log).toBe(0)
  expect(actions(calls)).toEqual([`tailscale ping --c 3 --timeout 3s ${expected}`, ...inOrder])
  expect([type('tailscale ip -4'), state()]).toEqual([expected, 'Running'])
  expect(run.item('tailscale').aside).toContain('var/lib/tailscale/tailscaled.state')
  const aside = `${run.report.keptAside}/var/lib/tailscale/tailscaled.state`
  expect(readFileSync(root.at(aside), 'utf8')).toBe(written)
})

test('run again, it changes nothing and does not touch the daemon', async () => {
  await loseTheOldInstance()
  await restore()
  const [calls, since] = [machine.calls().length, readFileSync(path.join(machine.bin, '../pid'), 'utf8')]
  const again = await restore()
  expect([again.code, again.step('tailscale').status, again.item('tailscale').status]).toEqual([
    0,
    'unchanged',
    'unchanged',
  ])
  expect(actions(calls)).toEqual([])
  expect(readFileSync(path.join(machine.bin, '../pid'), 'utf8')).toBe(since)
})

test('a daemon that has the identity already, but is down and masked, is brought up with the state that it has', async () => {
  await loseTheOldInstance()
  await restore()
  type('tailscale set --accept-routes; tailscale down; systemctl mask tailscaled')
  const calls = machine.calls().length
  const run = await restore()
  expect([run.code, run.step('tailscale').status, run.item('tailscale').status], run.log).toEqual([
    0,
    'done',
    'unchanged',
  ])
  expect(actions(calls)).toEqual([
    'systemctl unmask tailscaled',
    'systemctl enable --now tailscaled',
    'tailscale up',
  ])
  expect([type('tailscale ip -4'), state(), unit()]).toEqual([expected, 'Running', ['active', 'enabled']])
  expect(type('tailscale debug prefs')).toContain('"RouteAll": true')
})

test('no copy anywhere: tailscaled stays masked and has never run, the other items go on; with a copy it goes on from there', async () => {
  await loseTheOldInstance()
  const archive = path.join(verda.cache, 'config/tailscale-2026-11-24.tar.gz')
  const elsewhere = path.join(verda.folder, 'elsewhere')
  execFileSync('sh', ['-c', 'mkdir "$2" && mv "$1" "$1".sha256 "$2"', 'sh', archive, elsewhere])
  const run = await restore()
  expect([run.code, run.item('tailscale').status, run.item('env').status]).toEqual([1, 'failed', 'restored'])
  expect(run.step('tailscale').said).toMatch(
    /^no usable copy in root, sfs; .*tailscaled stays masked, because it would get another address/s,
  )
  expect([unit(), actions()]).toEqual([['inactive', 'masked'], ['systemctl mask tailscaled']])
  expect(existsSync(root.at('/var/lib/tailscale/tailscaled.state'))).toBe(false)

  execFileSync('sh', ['-c', 'mv "$2"/* "$(dirname "$1")"', 'sh', archive, elsewhere])
  const again = await restore()
  expect([again.code, type('tailscale ip -4'), unit()], again.log).toEqual([
    0,
    expected,
    ['active', 'enabled'],
  ])
})

test('no copy, and a daemon that runs under another name: it goes on, because nothing better can be had', async () => {
  type('systemctl enable --now tailscaled')
  logIn()
  const other = type('tailscale ip -4')
  const calls = machine.calls().length
  const run = await restore()
  expect([run.code, run.item('tailscale').status]).toEqual([1, 'failed'])
  expect(run.step('tailscale').said).toContain('The tailscaled that runs here keeps the address that it has')
  expect([actions(calls), type('tailscale ip -4'), unit()]).toEqual([[], other, ['active', 'enabled']])
})

test('the identity of another environment is left out: a tailscaled that runs goes on, and of one that is masked it is told', async () => {
  await loseTheOldInstance()
  const staging = () =>
    runRestore(root, verda, ['--only', 'config'], { env: { ENVIRONMENT: 'staging' }, bin: [machine.bin] })
  type('systemctl enable --now tailscaled')
  logIn()
  const [other, calls] = [type('tailscale ip -4'), machine.calls().length]
  expect((await staging()).step('tailscale')).toMatchObject({
    status: 'skipped',
    said: expect.stringContaining('is the identity of production'),
  })
  expect([
    actions(calls).filter((call) => call.includes('tailscale')),
    type('tailscale ip -4'),
    unit(),
  ]).toEqual([[], other, ['active', 'enabled']])
  type('systemctl mask --now tailscaled')
  expect((await staging()).step('tailscale').said).toContain('tailscaled stays masked')
})

describe('the old instance still runs', () => {
  test('and the daemon that runs here sees it: the restore stops, and nothing is changed', async () => {
    await backUp()
    type('systemctl enable --now tailscaled')
    logIn()
    const other = type('tailscale ip -4')
    const run = await restore()
    expect([run.code, run.item('tailscale').status, run.item('env')]).toMatchObject([
      1,
      'failed',
      { status: 'failed', reason: 'not started: the restore stopped before it, see above' },
    ])
    expect(run.item('tailscale').reason).toContain(`another machine answers at ${expected}`)
    expect([type('tailscale ip -4'), unit()]).toEqual([other, ['active', 'enabled']])
    expect(marker()).toEqual(items)

    await old.stop()
    expect([(await restore()).code, type('tailscale ip -4'), marker()]).toEqual([0, expected, []])
  })

  test('and a throw-away daemon sees it, with a key that is on no command line: the restore stops before it starts one', async () => {
    await backUp()
    const seen = watchCommandLines(key())
    const run = await restore({ env: { TAILSCALE_AUTHKEY: key() } })
    expect(await seen()).toEqual([])
    expect(run.code, run.log).toBe(1)
    expect(run.item('tailscale').reason).toContain(`another machine answers at ${expected}`)
    expect([unit(), existsSync(root.at('/var/lib/tailscale'))]).toEqual([['inactive', 'masked'], false])
    expect(processes().filter(({ line }) => line.includes('--state=mem:'))).toEqual([])
    // The throw-away node has left the tailnet.
    await expect.poll(async () => onlineProbes(await old.status())).toEqual([])
    expect(run.log + JSON.stringify(run.report)).not.toContain(key())
  })

  test('and without a daemon or a key nobody can see it: a note says what to do, and it goes on', async () => {
    await backUp()
    const run = await restore()
    expect(run.code, run.log).toBe(0)
    expect(run.log).toContain(`note whether the old instance still has ${expected} cannot be seen from here`)
  })
})

describe('the node has to log in', () => {
  test('without a key the restore stops and says so; with one it is run again, keeps the address and its settings', async () => {
    await loseTheOldInstance()
    await tailnet.expire(expected)
    const run = await restore()
    expect([run.code, run.item('env').status]).toEqual([1, 'failed'])
    expect(run.item('tailscale').reason).toMatch(
      /^tailscale asks for a login: .*set TAILSCALE_AUTHKEY, then run again: /,
    )
    expect(run.step('env').said).toContain('not started')
    expect(marker()).toEqual(items)

    const seen = watchCommandLines(key())
    const again = await restore({ env: { TAILSCALE_AUTHKEY: key() } })
    expect(await seen()).toEqual([])
    expect(again.code, again.log).toBe(0)
    expect([type('tailscale ip -4'), state(), marker()]).toEqual([expected, 'Running', []])
    expect(type('tailscale debug prefs')).toContain('"Hostname": "verda"')
    expect(again.log + JSON.stringify(again.report)).not.toContain(key())
  })

  test('a key that is refused: it stops, with what tailscale said and without the key', async () => {
    await loseTheOldInstance()
    await tailnet.expire(expected)
    const run = await restore({ env: { TAILSCALE_AUTHKEY: 'tskey-of-last-year' } })
    expect(run.code).toBe(1)
    expect(run.item('tailscale').reason).toMatch(
      /^tailscale up with the key of TAILSCALE_AUTHKEY did not help: .*invalid authkey/,
    )
    expect(run.log + JSON.stringify(run.report)).not.toContain('tskey-of-last-year')
  })

  test('a node that was removed comes back under another address: it stops; once that is the expected one, it goes on', async () => {
    await loseTheOldInstance()
    await tailnet.remove(expected)
    const run = await restore({ env: { TAILSCALE_AUTHKEY: key() } })
    const other = type('tailscale ip -4')
    expect([run.code, other === expected]).toEqual([1, false])
    expect(run.item('tailscale').reason).toContain(
      `this machine has ${other} on the tailnet instead of ${expected}`,
    )
    expect(run.step('env')).toMatchObject({ status: 'failed', said: expect.stringContaining('not started') })
    expect(marker()).toEqual(items)
    const backup = await verda.run({ only: ['env'], env: { VERDA_ROOT: root.at('/') } })
    expect([backup.code, backup.item.reason]).toEqual([1, expect.stringContaining('restore')])

    const again = await restore({ env: { VERDA_TAILSCALE_IP: other } })
    expect([again.code, again.step('tailscale').status, again.item('env').status], again.log).toEqual([
      0,
      'unchanged',
      'restored',
    ])
    expect(marker()).toEqual([])
  })
})

test('a node that was down when it was backed up is brought up', async () => {
  await old.tailscale('down')
  await loseTheOldInstance()
  const run = await restore()
  expect(run.code, run.log).toBe(0)
  expect(run.log).toContain('note tailscale was down when it was backed up: tailscale up')
  expect([type('tailscale ip -4'), state()]).toEqual([expected, 'Running'])
})

describe('a copy without an identity', () => {
  const useless = {
    'a state that is cut short': ['{"_machinekey":"cHJpdmtleTo', 'empty or cut short'],
    'a state that is sealed by the TPM': [
      '{"key":{"Private":"AAAA","Public":"AAAA"},"nonce":"AAAA","data":"AAAA"}',
      'sealed with the TPM',
    ],
    'the state of nobody': ['{}', 'tailscale was logged out'],
  } as const
  test.each(Object.entries(useless))('%s gives way to an older one', async (_, [text, why]) => {
    await backUp('2026-11-23T10:00:00Z')
    await old.stop()
    verda.write('home/dev/comfyume-v1/.env', 'PASSWORD=other\n')
    await backUpUseless(text)
    const run = await restore()
    expect(run.code, run.log).toBe(0)
    expect(run.item('tailscale')).toMatchObject({
      status: 'restored',
      key: 'config/tailscale-2026-11-23.tar.gz',
    })
    expect(run.item('tailscale').passed).toMatchObject([
      { key: 'config/tailscale-2026-11-24.tar.gz', reason: expect.stringContaining(why) },
    ])
    expect([type('tailscale ip -4'), state()]).toEqual([expected, 'Running'])
  })

  test('when there is no other, tailscaled is not started with it, and the other items go on', async () => {
    await old.stop()
    await backUpUseless(useless['a state that is sealed by the TPM'][0])
    const run = await restore()
    expect([run.code, run.item('env').status, unit()]).toEqual([1, 'restored', ['inactive', 'masked']])
    expect(run.step('tailscale').said).toMatch(/sealed with the TPM .*tailscaled stays masked/s)
    expect(existsSync(root.at('/var/lib/tailscale/tailscaled.state'))).toBe(false)
  })

  test('one that only tailscaled sees to be none stops the restore, with what tailscaled says', async () => {
    await old.stop()
    writeFileSync(
      path.join(old.stateDir, 'tailscaled.state'),
      '{"_machinekey":"no base64","_current-profile":"eA=="}',
    )
    await backUp()
    const run = await restore()
    expect(run.code).toBe(1)
    expect(run.item('tailscale').reason).toMatch(
      /^tailscaled started without the identity: .*Restore an older one/,
    )
  })
})

test('killed when the daemon is stopped and the identity not in place, it is run again', async () => {
  await loseTheOldInstance()
  type('systemctl enable --now tailscaled')
  logIn()
  const stopped = async () => {
    while (!machine.calls().includes('systemctl stop tailscaled')) await sleep(2)
  }
  const killed = await restore({ killAfter: stopped() })
  expect([killed.code, unit()[1]]).toEqual([null, 'masked'])
  expect(marker()).toEqual(items)
  const run = await restore()
  expect([run.code, type('tailscale ip -4'), unit(), marker()], run.log).toEqual([
    0,
    expected,
    ['active', 'enabled'],
    [],
  ])
  expect(readdirSync(root.at('/var/lib')).filter((name) => name.startsWith('.comfyume'))).toEqual([])
})

const onlineProbes = ({ Peer }: Awaited<ReturnType<Daemon['status']>>) =>
  Object.values(Peer ?? {}).filter(({ HostName, Online }) => HostName === 'restore-probe' && Online)

function processes(): { pid: string; line: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        return [{ pid, line: readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() }]
      } catch {
        return []
      }
    })
}

/** Polls all command lines for a word and returns the matches. Skips the control server's own. */
function watchCommandLines(word: string): () => Promise<string[]> {
  const seen = new Set<string>()
  let goOn = true
  const watching = (async () => {
    while (goOn) {
      for (const { line } of processes())
        if (line.includes(word) && !line.includes('tailnet-control')) seen.add(line)
      await sleep(15)
    }
  })()
  return async () => {
    goOn = false
    await watching
    return [...seen]
  }
}
