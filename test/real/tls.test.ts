import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildVerda, type Verda } from '../scripts/verda.ts'

/** An attacker between this machine and R2, with a self-made certificate. */
let folder: string
let between: Server
let verda: Verda
const asked: string[] = []

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'tls-'))
  const [key, cert] = ['key', 'cert'].map((name) => path.join(folder, name)) as [string, string]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', key, '-out', cert],
    { stdio: 'ignore' },
  )
  between = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.end('<ListBucketResult/>')
  }).listen(0, '127.0.0.1')
  await once(between, 'listening')
  verda = buildVerda()
})
afterAll(() => {
  between.close()
  verda.dispose()
  rmSync(folder, { recursive: true })
})

test.each(['', '0'])(
  'a certificate that nobody vouches for is not accepted, with NODE_TLS_REJECT_UNAUTHORIZED=%j',
  async (reject) => {
    const env = {
      VERDA_SSH: 'local',
      R2_ENDPOINT: `https://localhost:${(between.address() as AddressInfo).port}`,
      R2_ACCESS_KEY_ID: 'id',
      R2_SECRET_ACCESS_KEY: 'secret',
      ...(reject === '' ? {} : { NODE_TLS_REJECT_UNAUTHORIZED: reject }),
    }
    const run = await verda.script('status', ['--list', 'r2'], { env })
    expect(run.code).toBe(1)
    expect(run.stderr).toMatch(/The certificate of localhost is not accepted: check R2_ENDPOINT/)
    expect(asked).toEqual([])
  },
)
