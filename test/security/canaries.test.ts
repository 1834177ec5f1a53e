import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buckets } from '../../lib/inventory.ts'
import type { Run } from '../scripts/verda.ts'
import { buildWorkshop, type Workshop } from '../scripts/workshop.ts'

/** A mark that nothing may show; `$` and what else shells and templates would change is in it. */
const canary = (of: string) => `cn4ry$${of}$(x)`
const mark = /cn4ry|in-process-secret/

let workshop: Workshop
let service: Server
const pinged: { url: string; body: string }[] = []
const runs: [name: string, code: number, run: Run][] = []
const at = (name: string) => path.join(workshop.verda.folder, name)

/** Tools that note how they were called, and with which environment, and then are what they are. */
const tools = 'bash git ssh tar gzip pigz igzip dd find sha256sum openssl flock cp rm crontab timeout'.split(
  ' ',
)

beforeAll(async () => {
  workshop = await buildWorkshop({ hetzner: true })
  service = createServer(async (request, response) => {
    pinged.push({ url: request.url ?? '', body: await text(request) })
    response.end()
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  layTools()
  laySecrets()
  await runEverything()
}, 240_000)
afterAll(async () => {
  service.close()
  await workshop.dispose()
})

function layTools() {
  mkdirSync(at('tools'))
  for (const tool of tools) {
    const real = execFileSync('bash', ['-c', 'command -v -- "$1" || true', 'x', tool]).toString().trim()
    if (real === '') continue
    const note = (what: string) => `/bin/cat /proc/$$/${what} >>${at(what)}; echo >>${at(what)}`
    writeFileSync(
      path.join(at('tools'), tool),
      `#!/bin/sh\n${note('cmdline')}\n${note('environ')}\nexec ${real} "$@"\n`,
    )
    chmodSync(path.join(at('tools'), tool), 0o755)
  }
}

function laySecrets() {
  const { verda, write } = workshop
  verda.write('home/dev/comfyume-v1/.env', `ADMIN_PASSWORD=${canary('env')}\n`, 0o600)
  verda.write('home/dev/.ssh/id_ed25519', canary('key'), 0o600)
  verda.write('etc/ssh/ssh_host_ed25519_key', canary('host-key'), 0o600)
  verda.write(
    'var/lib/tailscale/tailscaled.state',
    JSON.stringify({ _machinekey: canary('identity'), '_current-profile': 'x' }),
    0o600,
  )
  write('home/dev/comfyume-v1/.env', `ADMIN_PASSWORD=${canary('mello-env')}\n`)
  write('home/dev/comfyume-v1/nginx/.htpasswd', `user001:${canary('htpasswd')}\n`)
}

async function runEverything() {
  const { verda } = workshop
  const { port } = service.address() as AddressInfo
  const secrets = {
    PATH: `${at('tools')}:${process.env.PATH}`,
    R2_SESSION_TOKEN: canary('session'),
    HETZNER_SESSION_TOKEN: canary('session-of-hetzner'),
    TAILSCALE_AUTHKEY: canary('tailscale'),
    BACKUP_PING_URL: `http://127.0.0.1:${port}/${encodeURIComponent(canary('ping'))}`,
    SCRIPTS_REPO: `https://somebody:${encodeURIComponent(canary('scripts'))}@127.0.0.1:9/scripts.git`,
    PROJECT_REPO: `https://${encodeURIComponent(canary('token'))}@127.0.0.1:9/project.git`,
  }
  const run = async (code: number, command: string, args: string[], env: Record<string, string> = {}) => {
    const ended = await verda.script(command, args, { env: { ...secrets, ...env } })
    runs.push([`${command} ${args.join(' ')}`, code, ended])
  }
  const wrongKey = {
    R2_SECRET_ACCESS_KEY: canary('wrong-secret'),
    HETZNER_ENDPOINT: '',
    HETZNER_ACCESS_KEY_ID: '',
    HETZNER_SECRET_ACCESS_KEY: '',
  }
  const repository = {
    CREDENTIALS_REPO: `http://somebody:${encodeURIComponent(canary('repository'))}@127.0.0.1:9/x.git`,
  }
  const away = { R2_ENDPOINT: 'http://127.0.0.1:9' }
  const only = ['--only', 'tailscale,ssh-host-keys,env,home-dev']
  await run(0, 'backup-cron', [...only, '--json'])
  await Promise.all([run(0, 'backup-verda', only), run(0, 'backup-mello', ['--json'])])
  // From here on everything reads, or fails.
  await Promise.all([
    run(1, 'status', ['--html', at('page.html')]),
    run(1, 'status', ['--json'], { ...repository, ...away }),
    run(0, 'verify', ['--store', 'r2']),
    run(1, 'verify', ['--store', 'r2', '--json'], wrongKey),
    run(0, 'verify', ['--drill', '--only', 'env,home-dev']),
    run(0, 'restore', [...only, '--yes', '--root', at('drill')]),
  ])
  await Promise.all([
    run(
      1,
      'restore',
      ['--only', 'scripts,credentials', '--from', 'git', '--yes', '--root', at('drill-2')],
      repository,
    ),
    run(1, 'restore', ['--only', 'env', '--from', 'r2', '--yes', '--json', '--root', at('drill-3')], away),
    run(0, 'restore', ['--dry-run', '--full', '--root', at('drill-4')]),
    run(1, 'doctor', ['--on', 'mello', '--json'], repository),
    run(1, 'backup-verda', ['--only', 'env', '--to', 'r2'], wrongKey),
    run(1, 'backup-verda', ['--only', 'ufw', '--to', 'r2'], { VERDA_SSH: 'nobody@127.0.0.1' }),
    run(1, 'backup-mello', ['--only', 'credentials'], repository),
    run(2, 'backup-mello', [], {
      BACKUP_PING_URL: canary('ping'),
      R2_ENDPOINT: `https://x:${canary('endpoint')}@example.org`,
      ENVIRONMENT: '',
      SFS_PROD: 'x',
    }),
  ])
  verda.write('home/dev/comfyume-v1/.env', '', 0o600)
  writeFileSync(path.join(workshop.repository, 'hooks/pre-receive'), '#!/bin/sh\necho no >&2\nexit 1\n', {
    mode: 0o755,
  })
  workshop.write('home/dev/comfyume-v1/.env', `ADMIN_PASSWORD=${canary('newer')}\n`)
  await Promise.all([
    run(1, 'backup-cron', ['--only', 'env']),
    run(1, 'backup-mello', ['--only', 'credentials', '--json']),
  ])
}

test('the runs end as they should: some well, some badly', () => {
  const ended = runs.map(([name, , { code }]) => `${code} ${name}`)
  expect(ended, runs.find(([, code, run]) => code !== run.code)?.[2].stderr).toEqual(
    runs.map(([name, code]) => `${code} ${name}`),
  )
})

test('no secret is printed', () => {
  for (const [name, , { stdout, stderr }] of runs) expect(`${stdout}${stderr}`, name).not.toMatch(mark)
})

test('no secret is in a report, a record, a page, a lock or what is remembered', async () => {
  const own = ['-not', '-name', '*.tar.gz', '-not', '-path', '*/tsx-*', '-type', 'f']
  const below = (place: string) =>
    existsSync(place)
      ? execFileSync('find', [place, ...own])
          .toString()
          .split('\n')
          .filter(Boolean)
      : []
  const { cache, tmp } = workshop.verda
  const places = [cache, workshop.backups, at('state'), at('page.html'), tmp]
  // The locks of this user, those of other runs too: nobody removes them.
  const files = [...places, `/run/lock/comfyume-backup-${process.getuid?.()}`].flatMap(below)
  expect(files.length).toBeGreaterThan(15)
  for (const file of files) expect(readFileSync(file, 'latin1'), file).not.toMatch(mark)
  for (const server of [workshop.servers.r2, workshop.servers.hetzner]) {
    for (const { name } of Object.values(buckets)) {
      for (const key of server?.keys(name).filter((one) => !one.endsWith('.tar.gz')) ?? [])
        expect((await server?.content(name, key))?.toString('latin1'), key).not.toMatch(mark)
    }
  }
})

test('the monitoring service is told how runs ended, at its secret address, and no other secret', () => {
  expect(pinged.length).toBeGreaterThan(8)
  for (const { url, body } of pinged) {
    expect(decodeURIComponent(url)).toContain(canary('ping'))
    expect(body).not.toMatch(mark)
  }
})

test('no secret is on the command line of any tool, nor in its environment, but for the password that git asks for', () => {
  const lines = readFileSync(at('cmdline'), 'latin1')
  expect(lines.split('\n').length).toBeGreaterThan(100)
  expect(lines.split('\n').filter((line) => mark.test(line))).toEqual([])
  const variables = readFileSync(at('environ'), 'latin1').split(/[\0\n]/)
  const shown = variables.filter((variable) => mark.test(variable))
  expect(
    [...new Set(shown)].filter((variable) => !/^COMFYUME_GIT_(?:USER|PASSWORD)=/.test(variable)),
  ).toEqual([])
  expect(shown.length).toBeGreaterThan(0)
})
