import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BareMachine, bareMachine } from '../servers/bare-machine.ts'
import { layToolkit, toolkitFolder } from './toolkit.ts'

/** setup verda on a bare machine with only Node, the toolkit, and another program's crontab. */

interface Step {
  step: string
  status: string
  said: string
  paste?: string[]
}

const share = 'nfs.fin-01.datacrunch.io:/SFS-prod'
const theirs = '17 3 * * * /usr/bin/certbot renew\n'
let machine: BareMachine
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'setup-'))
  mkdirSync(path.join(folder, 'share'))
  layToolkit(path.join(folder, 'toolkit'))
  rmSync(path.join(folder, 'toolkit/bin'), { recursive: true })
  rmSync(path.join(folder, 'toolkit/.env'))
  const packed = execFileSync('tar', ['-C', path.join(folder, 'toolkit'), '-c', '.'], { maxBuffer: 1 << 30 })
  const node = execFileSync('cat', [process.execPath], { maxBuffer: 1 << 30 })
  machine = await bareMachine()
  await machine.addShims({ installed: [] })
  machine.grant(share, path.join(folder, 'share'))
  machine.write('/usr/local/bin/node', node, 0o755)
  await machine.do(`mkdir -p ${toolkitFolder} && tar -C ${toolkitFolder} --no-same-owner -x`, {
    input: packed,
  })
  await machine.do('crontab -', { input: theirs })
})
afterAll(async () => {
  await machine?.dispose()
  rmSync(folder, { recursive: true, force: true })
})

async function setUp(flags = ''): Promise<{ code: number | null; steps: Step[] }> {
  const { code, stdout, stderr } = await machine.run(
    `${toolkitFolder}/scripts/comfyume-backup setup verda --json ${flags}`,
    { timeout: 300 },
  )
  expect(stdout, stderr).toMatch(/^\{/)
  return { code, steps: JSON.parse(stdout).steps }
}
const statuses = (steps: readonly Step[]) =>
  Object.fromEntries(steps.map(({ step, status }) => [step, status]))

test('--dry-run says what it would do, and does nothing', async () => {
  const { code, steps } = await setUp('--dry-run')
  expect(code).toBe(0)
  expect(statuses(steps)).toEqual({
    packages: 'would do',
    clock: 'there',
    runtime: 'would do',
    settings: 'would do',
    share: 'would do',
    command: 'would do',
    crontab: 'would do',
  })
  expect(await machine.do('crontab -l')).toBe(theirs)
  expect(machine.exists(`${toolkitFolder}/.env`)).toBe(false)
})

test('the first run does what it can, and leaves the settings to a person', async () => {
  const { code, steps } = await setUp()
  expect(code).toBe(1)
  expect(statuses(steps)).toEqual({
    packages: 'done',
    clock: 'there',
    runtime: 'done',
    settings: 'by hand',
    share: 'failed',
    command: 'done',
    crontab: 'done',
  })
  expect(steps.find(({ step }) => step === 'settings')?.said).toBe(
    'SFS_PROD, PROJECT_REPO, SCRIPTS_REPO, CREDENTIALS_REPO have no value yet',
  )
  expect(await machine.do(`stat -c %a ${toolkitFolder}/.env`)).toBe('600\n')
  expect(await machine.do(`${toolkitFolder}/bin/node --version`)).toBe(`${process.version}\n`)
  expect(await machine.do('cd / && comfyume-backup --version')).toMatch(/^\d+\.\d+\.\d+\n$/)
  const crontab = await machine.do('crontab -l')
  expect(crontab.startsWith(theirs)).toBe(true)
  expect(crontab).toMatch(/^# BEGIN comfyume-backup verda\.[\s\S]*scripts\/backup-cron\.ts[\s\S]*^# END/m)
})

test('with the settings filled in, the second run mounts the share, and the third has nothing to do', async () => {
  const values = ['SFS_PROD', 'PROJECT_REPO', 'SCRIPTS_REPO', 'CREDENTIALS_REPO'].map((name) =>
    name === 'SFS_PROD' ? `${name}=${share}` : `${name}=/srv/git/${name}`,
  )
  machine.write(`${toolkitFolder}/.env`, `${values.join('\n')}\n`, 0o600)
  const second = await setUp()
  expect(statuses(second.steps)).toMatchObject({ settings: 'there', share: 'done' })
  expect(machine.read('/etc/fstab')).toContain(`${share} /mnt/sfs nfs `)
  const before = await machine.do('crontab -l')
  const third = await setUp()
  expect(new Set(third.steps.map(({ status }) => status))).toEqual(new Set(['there']))
  expect(await machine.do('crontab -l')).toBe(before)
})

test('update knows the machine by its crontab, and says that a toolkit without .git needs SCRIPTS_REPO', async () => {
  const { code, stdout, stderr } = await machine.run(`comfyume-backup update --dry-run`)
  expect(stdout + stderr).toContain('would do  code: a clone of SCRIPTS_REPO')
  expect(stdout).toContain('by hand   packages of npm: there is no npm here')
  expect(code).toBe(0)
})
