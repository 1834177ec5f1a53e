import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Report } from '../../lib/backup/report.ts'
import { pingAddress, pinger } from '../../lib/cli/ping.ts'
import { buildVerda, holdItems, reportOf, type Verda } from '../scripts/verda.ts'

let verda: Verda
let pings: { path: string; body: string }[]
let server: ReturnType<typeof createServer>
let url: string
/** What the service answers to the next pings; 200 when it is used up. */
let answers: number[]
/** Where its redirects lead, and what it says. */
let location: string
let says: string
beforeEach(async () => {
  verda = buildVerda()
  pings = []
  answers = []
  location = says = ''
  server = createServer(async (request, response) => {
    pings.push({ path: request.url ?? '', body: await text(request) })
    response.writeHead(answers.shift() ?? 200, location ? { location } : {}).end(says)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/key`
})
afterEach(() => {
  server.close()
  verda.dispose()
})

it('tells that a run began and that it succeeded, under a name of its own for each line of cron', async () => {
  await verda.cron(['--only', 'env,ufw'], { env: { BACKUP_PING_URL: url } })
  expect(pings.map(({ path }) => path)).toEqual([
    '/key/backup-cron-env-ufw/start',
    '/key/backup-cron-env-ufw',
  ])
  expect(pings[1]?.body).toContain('OK backup-cron: 2 stored')
})

it('tells of a failure with what failed', async () => {
  verda.remove('etc/ufw')
  const { code } = await verda.cron([], { env: { BACKUP_PING_URL: `${url}/` } })
  expect(code).toBe(1)
  expect(pings.map(({ path }) => path)).toEqual([
    '/key/backup-cron-default/start',
    '/key/backup-cron-default/fail',
  ])
  expect(pings[1]?.body).toContain('/etc/ufw missing on verda')
})

it('tells of a run that could not start', async () => {
  const { code } = await verda.cron([], { env: { BACKUP_PING_URL: url, ENVIRONMENT: 'home' } })
  expect(code).toBe(2)
  expect(pings).toEqual([
    { path: '/key/backup-cron-default/fail', body: expect.stringContaining('ENVIRONMENT must be one of') },
  ])
})

describe('a ping that is not taken', () => {
  const cron = (env: Record<string, string>) => verda.cron(['--only', 'env', '--json'], { env })
  const kept = (): Report => JSON.parse(verda.read(`runs/${verda.names('runs')[0]}`).toString())

  it('stops no backup; report, output and exit code say so', async () => {
    answers = [404, 404]
    const run = await cron({ BACKUP_PING_URL: url })
    const problems = ['the monitoring service has no check named backup-cron-env: create it there']
    for (const report of [reportOf(run), kept()])
      expect(report).toMatchObject({
        ok: false,
        items: [{ status: 'stored' }],
        ping: { check: 'backup-cron-env', ok: false, problems },
      })
    expect(run.stderr).toContain(`PROBLEM ping: ${problems[0]}\n`)
    expect(run.stderr).toMatch(/FAILED backup-cron: 1 stored, .*, ping failed\n$/)
    expect(run.code).toBe(1)
  })

  it('a redirect, such as to a login page that answers well, is no success', async () => {
    location = `${url}/login`
    answers = [302, 302]
    const run = await cron({ BACKUP_PING_URL: url })
    expect(pings.map(({ path }) => path)).not.toContain('/key/login')
    expect(run.stderr).toMatch(
      /PROBLEM ping: the monitoring service answered 302, a redirect: set BACKUP_PING_URL/,
    )
    expect(run.code).toBe(1)
  })

  it.each(['OK (not found)', 'OK (rate limited)'])('healthchecks.io answers 200 and %j', async (text) => {
    says = text
    const run = await cron({ BACKUP_PING_URL: url })
    expect(run.stderr).toContain(
      `PROBLEM ping: the monitoring service ignored the ping of backup-cron-env: ${text}`,
    )
    expect(run.code).toBe(1)
    says = 'OK'
    expect((await cron({ BACKUP_PING_URL: url })).code).toBe(0)
  })

  it('nobody answers at the address', async () => {
    server.close()
    const run = await cron({ BACKUP_PING_URL: url })
    expect(run.code).toBe(1)
    expect(reportOf(run).ping?.problems).toEqual([
      'the monitoring service could not be reached: ECONNREFUSED',
    ])
    expect(verda.names()).toHaveLength(2)
  })

  it('is sent again where the service had a fault of its own, and then all is well', async () => {
    answers = [503, 200, 429, 500]
    const run = await cron({ BACKUP_PING_URL: url })
    expect(reportOf(run).ping).toEqual({ check: 'backup-cron-env', ok: true, problems: [] })
    expect(pings).toHaveLength(5)
    expect(run.code).toBe(0)
  })
})

it('tells of a run whose items another process holds, wholly or in part', async () => {
  const locks = await holdItems(verda, ['env'])
  try {
    const env = { BACKUP_PING_URL: url }
    const all = await verda.cron(['--only', 'env'], { env })
    expect(all.code).toBe(75)
    expect(all.stdout).toMatch(/BUSY backup-cron: .*1 busy \(env\), 0 failed\n$/)
    const some = await verda.cron(['--only', 'env,ufw'], { env })
    expect(some.code).toBe(1)
    expect(some.stdout).toMatch(/FAILED backup-cron: 1 stored, .*1 busy \(env\), 0 failed\n$/)
    expect(pings.map(({ path }) => path).filter((one) => !one.endsWith('/start'))).toEqual([
      '/key/backup-cron-env/fail',
      '/key/backup-cron-env-ufw/fail',
    ])
    for (const { body } of pings.filter(({ path }) => path.endsWith('/fail')))
      expect(body).toContain(`env: is being backed up by pid ${process.pid} `)
  } finally {
    await locks.release()
  }
})

it('a run whose report cannot be kept is reported as failed, though the work was done', async () => {
  verda.put('runs', 'in the way')
  const { code } = await verda.cron(['--only', 'env'], { env: { BACKUP_PING_URL: url } })
  expect(code).toBe(1)
  expect(pings.at(-1)?.path).toBe('/key/backup-cron-env/fail')
  expect(pings.at(-1)?.body).toContain("the run's report could not be saved in sfs")
})

it.each([
  ['https://hc.test/ping/key', 'https://hc.test/ping/key/x/fail'],
  ['https://hc.test/ping/key/', 'https://hc.test/ping/key/x/fail'],
  ['https://hc.test/ping/key?create=1', 'https://hc.test/ping/key/x/fail?create=1'],
  ['https://hc.test/ping/key/?create=1#top', 'https://hc.test/ping/key/x/fail?create=1'],
  ['https://hc.test', 'https://hc.test/x/fail'],
])('the address of a failure below %s', (address, expected) => {
  expect(pingAddress(address, 'x', 'fail').href).toBe(expected)
})

it('sends nothing without an address, and nothing in a dry run', async () => {
  const none = pinger(undefined, 'x')
  none.start()
  expect(await none.end(true, '')).toBeUndefined()
  await verda.cron(['--dry-run'], { env: { BACKUP_PING_URL: url } })
  expect(pings).toEqual([])
})

it('a command line that cannot be meant is no run: nothing is told of it', async () => {
  const run = await verda.cron(['--only', 'envy'], { env: { BACKUP_PING_URL: url } })
  expect(run.code).toBe(2)
  expect(pings).toEqual([])
})

it('a service that answers late delays no backup', async () => {
  const late = createServer((_, response) => setTimeout(() => response.end(), 300).unref())
  await new Promise<void>((resolve) => late.listen(0, '127.0.0.1', resolve))
  const one = pinger(`http://127.0.0.1:${(late.address() as AddressInfo).port}`, 'x')
  expect(one.start()).toBeUndefined()
  expect(await one.end(true, '')).toEqual({ check: 'x', ok: true, problems: [] })
  late.close()
})
