import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  lstatSync,
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
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { localHost } from '../../../lib/hosts/local.ts'
import type { RestoreContext } from '../../../lib/restore/context.ts'
import { makeRestorePlan } from '../../../lib/restore/plan/plan.ts'
import { selectForRestore } from '../../../lib/restore/plan/request.ts'
import { checklist } from '../../../lib/restore/steps/checklist.ts'
import { credentialsStep } from '../../../lib/restore/steps/credentials.ts'
import { sshStep } from '../../../lib/restore/steps/ssh.ts'
import type { Offer } from '../../../lib/restore-order.ts'
import { readSettings } from '../../../lib/settings/settings.ts'

/** No service of the machine that runs the tests is touched. */
vi.mock('../../../lib/hosts/shell.ts', async (original) => ({
  ...(await original<object>()),
  stateOf: async () => 'inactive',
}))

let folder: string
let root: string
let repository: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'steps-'))
  root = path.join(folder, 'root')
  repository = path.join(folder, 'repository')
  for (const each of [root, repository]) mkdirSync(each)
})
afterEach(() => rmSync(folder, { recursive: true }))

function site(item: string, offers: Offer[], only?: string[]): RestoreContext {
  const settings = readSettings({ CREDENTIALS_REPO: repository })
  const request = {
    prefer: 'order' as const,
    withModels: false,
    withContainers: false,
    skipSfs: false,
    ...(only ? { only } : {}),
  }
  const selected = selectForRestore({ ...request, only: [item] }, settings)
  const findings = { offers: new Map([[item, offers]]), unreachable: new Map() }
  return {
    plan: makeRestorePlan(selected, request, findings, settings, root, new Date('2026-11-24T10:00:00Z')),
    request,
    settings,
    root,
    drill: true,
    sources: [],
    unreachable: new Map(),
    host: localHost({ name: 'verda', root }),
    aside: path.join(root, 'var/aside'),
    outcomes: new Map(),
    watch: { started() {}, total() {}, bytes() {}, note() {}, stepDone() {}, checked() {} },
  }
}

test('modes of host keys are set, and not those of what a link among them leads to', async () => {
  const ssh = path.join(root, 'etc/ssh')
  mkdirSync(ssh, { recursive: true })
  writeFileSync(path.join(folder, 'other'), '')
  for (const file of [
    path.join(folder, 'other'),
    path.join(ssh, 'ssh_host_rsa_key'),
    path.join(ssh, 'ssh_host_rsa_key.pub'),
  ]) {
    writeFileSync(file, '')
    chmodSync(file, 0o644)
  }
  symlinkSync(path.join(folder, 'other'), path.join(ssh, 'ssh_host_ed25519_key'))
  await sshStep({ ...site('ssh-host-keys', []), plan: { ...site('ssh-host-keys', []).plan, items: [] } }).do()
  expect(statSync(path.join(ssh, 'ssh_host_rsa_key')).mode & 0o777).toBe(0o600)
  expect(statSync(path.join(ssh, 'ssh_host_rsa_key.pub')).mode & 0o777).toBe(0o644)
  expect(statSync(path.join(folder, 'other')).mode & 0o777).toBe(0o644)
})

describe('credentials', () => {
  const offer: Offer = { source: 'git', kind: 'repository', key: 'HEAD', environment: 'production' }
  const commit = (files: Record<string, string>, script = ':') => {
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(repository, file)), { recursive: true })
      writeFileSync(path.join(repository, file), content)
    }
    execFileSync('bash', [
      '-ec',
      `cd "$1"; git init -q .; ${script}; git add -A; git -c user.name=a -c user.email=a@b commit -qm x`,
      'x',
      repository,
    ])
  }
  const env = () => path.join(root, 'home/dev/comfyume-v1/.env')
  const htpasswd = () => path.join(root, 'home/dev/comfyume-v1/nginx/.htpasswd')
  const both = { '.env': 'A=1\n', 'nginx/.htpasswd': 'a:b\n' }
  const run = async (only?: string[]) => {
    const own = site('credentials', [offer], only)
    const said = await credentialsStep(own)
      .do()
      .catch((error: Error) => error)
    return { said, outcome: own.outcomes.get('credentials') }
  }

  test('come where they are not there, readable by their owner alone', async () => {
    commit(both)
    expect((await run()).outcome).toMatchObject({ status: 'restored', source: 'git' })
    expect(readFileSync(env(), 'utf8')).toBe('A=1\n')
    for (const file of [env(), htpasswd()]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect((await run()).outcome).toMatchObject({ status: 'unchanged' })
  })

  test('leave what is there, unless they are asked for by name; then it is kept aside', async () => {
    commit(both)
    mkdirSync(path.dirname(env()), { recursive: true })
    writeFileSync(env(), 'MINE=1\n')
    await run()
    expect(readFileSync(env(), 'utf8')).toBe('MINE=1\n')
    expect((await run(['credentials'])).outcome?.aside).toEqual(['home/dev/comfyume-v1/.env'])
    expect(readFileSync(env(), 'utf8')).toBe('A=1\n')
    expect(readFileSync(path.join(root, 'var/aside/home/dev/comfyume-v1/.env'), 'utf8')).toBe('MINE=1\n')
  })

  test('take the place of the empty folder that docker makes for a file that is not there, and of no other', async () => {
    commit(both)
    mkdirSync(htpasswd(), { recursive: true })
    await run()
    expect(readFileSync(htpasswd(), 'utf8')).toBe('a:b\n')
    rmSync(htpasswd())
    mkdirSync(path.join(htpasswd(), 'mine'), { recursive: true })
    expect((await run()).outcome?.aside).toEqual(['home/dev/comfyume-v1/nginx/.htpasswd'])
    expect(existsSync(path.join(root, 'var/aside/home/dev/comfyume-v1/nginx/.htpasswd/mine'))).toBe(true)
  })

  test('that are a link in the repository bring nothing of this machine with them', async () => {
    writeFileSync(path.join(folder, 'secret'), 'of this machine')
    commit({ 'nginx/.htpasswd': 'a:b\n' }, `ln -s ${folder}/secret .env`)
    await run()
    expect(lstatSync(env()).isFile()).toBe(true)
    expect(readFileSync(env(), 'utf8')).toBe(`${folder}/secret`)
  })

  test('without one of their files come from no commit, and that is said', async () => {
    commit({ '.env': 'A=1\n' })
    const { said, outcome } = await run()
    expect(String(said)).toMatch(/it has no file nginx\/\.htpasswd/)
    expect(outcome).toMatchObject({ status: 'failed' })
    expect(existsSync(env())).toBe(false)
  })
})

describe('the checklist', () => {
  const look = async (check: string) => {
    const own = site('comfyume-worker', [])
    own.settings.projectDir.verda = path.join(folder, 'project')
    own.settings.containerEngine = path.join(folder, 'engine')
    mkdirSync(own.settings.projectDir.verda, { recursive: true })
    return (await checklist(own)).find(({ name }) => name === check)
  }

  test.each([
    ['docker-compose.yml', true],
    ['compose.prod.yaml', true],
    ['docker-compose.yml.bak', false],
    ['notes on compose.txt', false],
  ])('a project with %j alone is there: %s', async (name, there) => {
    mkdirSync(path.join(folder, 'project'))
    writeFileSync(path.join(folder, 'project', name), '')
    expect(await look('project')).toMatchObject({ status: there ? 'ok' : 'wrong' })
  })

  test('an image of another name is not the one of the plan', async () => {
    const engine = path.join(folder, 'engine')
    writeFileSync(engine, '#!/bin/sh\n[ "$2" = ls ] && echo comfyume-frontend\n', { mode: 0o755 })
    expect(await look('images')).toMatchObject({
      status: 'wrong',
      what: expect.stringMatching(/without comfyume-worker$/),
    })
  })
})
