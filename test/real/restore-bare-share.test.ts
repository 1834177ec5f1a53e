import { afterAll, beforeAll, expect, test } from 'vitest'
import { differences } from '../../demo/stock.ts'
import type { BareMachine, MachineRun } from '../servers/bare-machine.ts'
import { type LostVerda, lostVerda } from './lost-verda.ts'
import {
  backUp,
  callOf,
  fstabLine,
  mountShare,
  restore,
  restoreAll,
  stockOfAll,
  unpackToolkit,
  whatIsWrong,
} from './restore-bare.ts'
import { atTerminal } from './terminal.ts'

let world: LostVerda
let machine: BareMachine
/** The README's three commands, in order. */
let runs: MachineRun[]

beforeAll(async () => {
  world = await lostVerda()
  machine = await world.newMachine()
  runs = [await machine.run(mountShare), await machine.run(unpackToolkit)]
  runs.push(await atTerminal(machine, restoreAll, { question: 'Type yes to begin', answer: 'yes' }))
})
afterAll(() => world?.dispose())

const printed = () => runs[2]?.stdout ?? ''

test('the three commands of the README make a machine without Node what Verda was, from the share alone', async () => {
  expect(runs.slice(0, 2)).toEqual([1, 2].map(() => ({ code: 0, stdout: '', stderr: '' })))
  expect(runs[2]?.code, printed()).toBe(0)
  expect((await machine.run('command -v node npm')).stdout).toBe('')
  expect(await whatIsWrong(machine, world)).toEqual([])
})

test('the plan is shown before the question, and says where each item comes from', () => {
  const [plan = '', rest = ''] = printed().split('Type yes to begin')
  for (const item of ['tailscale', 'home-dev', 'scripts', 'comfyume-worker'])
    expect(plan).toMatch(new RegExp(`^  ${item} +sfs +\\S*${item}-\\d{4}-\\d\\d-\\d\\d\\.tar\\.gz `, 'm'))
  expect(plan).toMatch(
    /^ {2}user-data +left out +is on Mello; its copies are in r2, which is not set up here$/m,
  )
  expect(plan).not.toMatch(/ done /)
  expect(rest).toMatch(/Z done sfs: /)
})

test('the checklist is right in every line, the last line says OK, and the start command follows', () => {
  const lines = printed().trimEnd().split('\n')
  const checks = lines.flatMap((line) => /Z (ok|WRONG) (\w+): /.exec(line)?.slice(1) ?? [])
  expect(checks.filter((word) => word === 'WRONG')).toEqual([])
  expect(checks.filter((word) => word !== 'ok')).toEqual([
    'address',
    'firewall',
    'jails',
    'share',
    'models',
    'images',
    'project',
    'cron',
  ])
  expect(lines.at(-2)).toMatch(/Z OK restore: \d+ restored, 2 unchanged, 2 skipped, 0 failed, in [\d.]+ s$/)
  expect(lines.at(-1)).toBe('Start the workshop with: cd /home/dev/comfyume-v1 && docker compose up -d')
})

test('tailscaled was masked before it was installed, and started only with the identity', () => {
  expect(callOf(machine, 'systemctl mask tailscaled')).toBeLessThan(
    machine.calls().findIndex((call) => /^apt-get .*install .*tailscale$/.test(call)),
  )
  expect(callOf(machine, 'systemctl unmask tailscaled')).toBeLessThan(
    callOf(machine, 'systemctl enable --now tailscaled'),
  )
  expect(machine.read('/var/lib/tailscale/tailscaled.state')).toContain('of Verda')
})

test('jails that read a log of the homes wait for it, and say so', () => {
  expect(printed()).toMatch(
    /Z done fail2ban: .*; waits for the homes \(Have not found any log file for comfyume jail\)$/m,
  )
  expect(printed()).toMatch(/Z done jails: restarted, running: comfyume, sshd$/m)
})

test('the share has an entry in fstab by which it is there after a reboot', async () => {
  const entries = machine.read('/etc/fstab').split('\n')
  expect(entries.filter((line) => line === fstabLine)).toHaveLength(1)
  await machine.do('umount /mnt/sfs && mount -a && mountpoint -q /mnt/sfs')
})

test('a second run changes nothing, and says so', async () => {
  const before = await stockOfAll(machine)
  const calls = machine.calls().length
  const { code, stdout } = await machine.run(`${restoreAll} --yes`)
  expect(code, stdout).toBe(0)
  expect(differences(before, await stockOfAll(machine))).toEqual([])
  expect(stdout).toMatch(
    /Z OK restore: nothing had to be changed, 0 restored, \d+ unchanged, 2 skipped, 0 failed/,
  )
  expect(stdout).not.toMatch(/Z (done|note|FAILED) /)
  expect(
    machine
      .calls()
      .slice(calls)
      .filter((call) => !/^systemctl is-|^docker (image|compose version)|^tailscale (ip|status)/.test(call)),
  ).toEqual([])
})

test('backups are made again, and find what they left', async () => {
  const { code, stdout } = await machine.run(backUp('--only env'))
  expect(code, stdout).toBe(0)
  expect(stdout).toMatch(/Z OK backup-cron: /)
})

test.each([
  ['env', 'rm /home/dev/comfyume-v1/.env'],
  ['ssl', 'rm -r /etc/letsencrypt'],
  ['home-dev', 'echo spoiled >/home/dev/.zsh_history && rm -r /home/dev/odd'],
  ['ssh-host-keys', 'rm /etc/ssh/ssh_host_* && ssh-keygen -q -A && systemctl reload ssh'],
  ['ufw', 'ufw --force reset >/dev/null && rm /etc/ufw/*.20*'],
  ['fail2ban', 'echo "[sshd]" >/etc/fail2ban/jail.local'],
  ['comfyume-admin', 'rm -r /var/lib/shims/images/comfyume-admin*'],
])('%s alone comes back, and no other step has anything to do', async (item, spoil) => {
  await machine.do(spoil)
  const { code, stdout } = await machine.run(restore(`--only ${item} --yes`))
  expect(code, stdout).toBe(0)
  expect(stdout).toMatch(new RegExp(`Z done ${item}: from sfs: `))
  expect(stdout.match(/Z done /g)).toHaveLength(1)
})

test('item by item, all is whole again', async () => {
  expect(await whatIsWrong(machine, world)).toEqual([])
})

test('on a serial console, which knows no width, it asks and goes on', async () => {
  await machine.do('rm /home/dev/comfyume-v1/.env')
  const run = await atTerminal(machine, restore('--only env'), {
    question: 'Type yes to begin',
    answer: 'yes',
    columns: 0,
  })
  expect(run.code, run.stdout).toBe(0)
  expect(run.stdout).toMatch(/Z OK restore: 1 restored/)
})

test('without a yes nothing is begun', async () => {
  await machine.do('rm /home/dev/comfyume-v1/.env')
  const run = await atTerminal(machine, restore('--only env'), { question: 'Type yes to begin', answer: 'n' })
  expect(run.code).toBe(2)
  expect(run.stdout).toContain('restore: cancelled; nothing was changed')
  expect(machine.exists('/home/dev/comfyume-v1/.env')).toBe(false)
})

test('models are linked to the share where the workshop has a folder of its own for them', async () => {
  const run = await machine.run(restore('--only models --yes'), { env: { MODELS_DIR: '/srv/models' } })
  expect(run.code, run.stdout).toBe(0)
  expect(run.stdout).toContain('3 linked, 0 downloaded, 0 there already')
  expect(await machine.do('readlink /srv/models/loras/style.safetensors')).toBe(
    '/mnt/sfs/models/loras/style.safetensors\n',
  )
  await machine.do('cmp /srv/models/vae/own.safetensors /mnt/sfs/models/vae/own.safetensors')
})
