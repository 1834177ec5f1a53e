import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { pinger } from '../lib/ping.ts'
import { buildVerda, type Verda } from './scripts/verda.ts'

let verda: Verda
let pings: { path: string; body: string }[]
let server: ReturnType<typeof createServer>
let url: string
beforeEach(async () => {
  verda = buildVerda()
  pings = []
  server = createServer(async (request, response) => {
    pings.push({ path: request.url ?? '', body: await text(request) })
    response.end('OK')
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

it('fails no backup when nobody answers', async () => {
  const { code } = await verda.cron(['--only', 'env'], { env: { BACKUP_PING_URL: 'http://127.0.0.1:9/key' } })
  expect(code).toBe(0)
})

it('sends nothing without an address, and nothing in a dry run', async () => {
  await pinger(undefined, 'x').start()
  await verda.cron(['--dry-run'], { env: { BACKUP_PING_URL: url } })
  expect(pings).toEqual([])
})
