import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newMark, processesOf } from '../hosts/processes.ts'
import { buildVerda, type Verda } from '../scripts/verda.ts'
import { startTailnet, type Tailnet } from '../servers/tailnet.ts'
import type { Daemon } from '../servers/tailscale-daemon.ts'

/** What the real tailscaled does with an identity that comes back, or does not, without our code. */

let tailnet: Tailnet
let verda: Verda
let mello: Daemon
let folder: string
/** The backed-up instance, until it is destroyed. */
let old: Daemon
let expected: string
let archive: string
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'instances-'))
  verda = buildVerda()
  tailnet = await startTailnet()
  mello = await newNode('mello')
  verda.remove('var/lib/tailscale')
  old = await tailnet.startDaemon(path.join(verda.root, 'var/lib/tailscale'))
  await old.up('--hostname=verda')
  expected = await old.address()
  const { item } = await verda.run({ only: ['tailscale'] })
  expect(item.status).toBe('stored')
  archive = path.join(verda.cache, item.stores.sfs?.key as string)
})
afterAll(async () => {
  await tailnet?.close()
  verda?.dispose()
  rmSync(folder, { recursive: true, force: true })
})

/** The state folder of the instance with that name. */
const stateOf = (name: string) => path.join(folder, name, 'var/lib/tailscale')

async function newNode(name: string): Promise<Daemon> {
  const node = await tailnet.startDaemon(stateOf(name))
  await node.up(`--hostname=${name}`)
  return node
}

/** By hand: `tar -x -C /`. */
function unpack(name: string) {
  mkdirSync(path.join(folder, name), { recursive: true })
  execFileSync('tar', ['-xzf', archive, '-C', path.join(folder, name)])
}

async function onlineFor(node: Daemon, address: string): Promise<boolean | undefined> {
  const { Peer } = await node.status()
  return Object.values(Peer ?? {}).find(({ TailscaleIPs }) => TailscaleIPs.includes(address))?.Online
}

test('while the old instance runs, a node of its own on the new one sees it and gets its answer', async () => {
  const probe = await newNode('probe')
  expect(await onlineFor(probe, expected)).toBe(true)
  expect(await probe.ping(expected)).toBe((await old.status()).Self.Addrs?.[0])
  await probe.stop()
})

test('two instances with one identity both say that all is well: neither status nor address tells of the other', async () => {
  unpack('twin')
  const twin = await tailnet.startDaemon(stateOf('twin'))
  for (const each of [old, twin]) {
    expect(await each.address()).toBe(expected)
    expect(await each.status()).toMatchObject({
      BackendState: 'Running',
      Health: [],
      Self: { HostName: 'verda' },
    })
    expect(await onlineFor(each, expected)).toBeUndefined()
    await expect(each.tailscale('ping', '--c=1', expected)).resolves.toBe(`${expected} is local Tailscale IP`)
  }
  // Other nodes see one node, and only one of the two answers.
  const answers = (await Promise.all([old, twin].map((each) => each.status()))).map(
    ({ Self }) => Self.Addrs?.[0],
  )
  expect(answers[0]).not.toBe(answers[1])
  expect(answers).toContain(await mello.ping(expected))
  const names = Object.values((await mello.status()).Peer ?? {}).map(({ HostName }) => HostName)
  expect(names.filter((name) => name === 'verda')).toHaveLength(1)
  await twin.stop()
})

test('once the old instance is gone, nobody answers at its address, and it is seen to be offline', async () => {
  await old.stop()
  rmSync(old.stateDir, { recursive: true })
  await expect.poll(() => onlineFor(mello, expected)).toBe(false)
  expect(await mello.ping(expected)).toBeUndefined()
})

test('a daemon that starts before its identity is back needs a login, and gets another address by it', async () => {
  const early = await tailnet.startDaemon(stateOf('early'))
  expect((await early.status()).BackendState).toBe('NeedsLogin')
  const login = [`--login-server=${tailnet.loginServer}`, '--timeout=2s']
  await expect(early.tailscale('up', ...login)).rejects.toThrow('To authenticate, visit')
  await early.stop()

  const late = await newNode('late')
  expect(await late.address()).not.toBe(expected)
  await late.stop()
})

test('an identity that is unpacked below a running daemon is not read, and is lost when the daemon writes its own', async () => {
  const running = await newNode('running')
  const wrong = await running.address()
  unpack('running')
  expect(await running.address()).toBe(wrong)
  await running.tailscale('set', '--accept-routes')
  await running.stop()
  const again = await tailnet.startDaemon(stateOf('running'))
  expect(await again.address()).toBe(wrong)
  expect(wrong).not.toBe(expected)
  await again.stop()
})

test('a daemon that starts with its identity has its address again, and nobody logs in', async () => {
  unpack('back')
  const back = await tailnet.startDaemon(stateOf('back'))
  expect(await back.address()).toBe(expected)
  await expect.poll(() => onlineFor(mello, expected)).toBe(true)
  expect(await mello.ping(expected)).toBe((await back.status()).Self.Addrs?.[0])

  await back.tailscale('down')
  await back.stop()
  const down = await tailnet.startDaemon(stateOf('back'))
  // An address alone does not prove that a node is reachable.
  expect(await down.tailscale('ip', '-4')).toBe(expected)
  expect((await down.status()).BackendState).toBe('Stopped')
  expect(await mello.ping(expected)).toBeUndefined()
  await down.stop()
})

const unreadable = {
  'is empty': '',
  'is cut short': '{"_machinekey":"cHJpdmtleTo',
  'was sealed by the TPM of another machine':
    '{"key":{"Private":"AAAA","Public":"AAAA"},"nonce":"AAAA","data":"AAAA"}',
}
test.each(Object.entries(unreadable))(
  'a daemon whose state %s starts all the same, and says so in its health alone',
  async (_, state) => {
    const folder = stateOf(newMark())
    mkdirSync(folder, { recursive: true })
    writeFileSync(path.join(folder, 'tailscaled.state'), state)
    const daemon = await tailnet.startDaemon(folder)
    expect(await daemon.status()).toMatchObject({ BackendState: 'NoState', TailscaleIPs: null })
    expect((await daemon.status()).Health.join()).toContain('State store failed to initialize')
    await daemon.stop()
    expect(readFileSync(path.join(folder, 'tailscaled.state'), 'utf8')).toBe(state)
  },
)

test('closing it leaves no process and no file, though a daemon was started by somebody else', async () => {
  const another = await startTailnet()
  const state = stateOf(newMark())
  mkdirSync(state, { recursive: true })
  const flags = [`--statedir=${state}`, `--socket=${state}/socket`]
  execFileSync('sh', ['-c', '"$@" >"$0/log" 2>&1 &', state, another.tailscaled, ...flags])
  await expect.poll(() => existsSync(path.join(state, 'socket')), { timeout: 10_000 }).toBe(true)
  expect(processesOf(state)).toHaveLength(1)
  await another.close()
  expect(processesOf(state)).toEqual([])
  expect(existsSync(path.dirname(another.tailscaled))).toBe(false)
})
