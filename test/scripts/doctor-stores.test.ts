import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { multipartProbe } from '../../lib/doctor/object-stores.ts'
import { type S3Server, type S3ServerOptions, startS3Server } from '../servers/s3-server.ts'
import { buildClinic, type Clinic, closedPort } from './clinic.ts'
import { cacheBucket, containersBucket, modelsBucket, userFilesBucket } from './workshop.ts'

const buckets = [cacheBucket, modelsBucket, containersBucket, userFilesBucket]
const unseen = 'warning stores r2 deletion'

let clinic: Clinic
let others: S3Server[]
beforeEach(async () => {
  others = []
  clinic = await buildClinic()
})
afterEach(async () => {
  for (const server of others) await server.close()
  await clinic.dispose()
})

/** Settings for an R2 that behaves differently. */
async function anotherR2(manner: Partial<S3ServerOptions>) {
  const folder = path.join(clinic.folder, `other-${others.length}`)
  const server = await startS3Server({ folder, buckets, ...manner })
  others.push(server)
  const env = {
    R2_ENDPOINT: server.endpoint,
    R2_ACCESS_KEY_ID: server.accessKeyId,
    R2_SECRET_ACCESS_KEY: server.secretAccessKey,
  }
  return { server, env }
}

async function found(env: Record<string, string> = {}) {
  const { code, lines } = await clinic.complaints('mello', env, ['--only', 'clock,stores'])
  return { code, lines: lines.filter((line) => !line.startsWith(unseen)) }
}

it('writes each probe once, reads it from then on, and asks for nothing that takes away', async () => {
  const { r2 } = clinic.workshop
  const probes = buckets.map((bucket) => `${bucket}/.comfyume-backup/conditional-write-probe`)
  expect(await found()).toEqual({ code: 0, lines: [] })
  const written = [...probes, `${cacheBucket}/${multipartProbe.key}`]
  expect(clinic.workshop.written().sort()).toEqual(written.sort())
  const first = r2.log.length

  const { stdout } = await clinic.doctor(['--only', 'stores'])
  expect(stdout).toContain('which an earlier run sent in three parts, reads back as it was sent')
  expect(clinic.workshop.written().sort()).toEqual(written.sort())
  expect(r2.log.slice(first).some(({ operation }) => operation === 'CreateMultipartUpload')).toBe(false)
  for (const { method } of r2.log) expect(['GET', 'HEAD', 'PUT', 'POST']).toContain(method)
})

it('the probes are no backups: backups, listings and rotation do not see them', async () => {
  await clinic.doctor(['--only', 'stores'])
  const { code, stdout } = await clinic.workshop.backupVerda(['--only', 'config,models'])
  expect(code).toBe(0)
  expect(stdout).not.toContain('.comfyume-backup')
})

it('an upload that was cut off is gone on with, not begun again', async () => {
  const { r2 } = clinic.workshop
  r2.fail({ operation: 'CompleteMultipartUpload', how: 500, times: 2 })
  const { code, lines } = await found()
  expect(code).toBe(1)
  expect(lines).toEqual([
    expect.stringMatching(
      /^wrong stores r2 multipart: r2 bucket \S+: could not store .*multipart-probe: 500/,
    ),
    'warning stores r2 range reads: not checked: there is no object to read',
  ])
  expect(await found()).toEqual({ code: 0, lines: [] })
  expect(r2.log.filter(({ operation }) => operation === 'CreateMultipartUpload')).toHaveLength(1)
})

describe('a server', () => {
  it.each<[string, Partial<S3ServerOptions>, string[]]>([
    [
      'that overwrites',
      { ignoresConditions: true },
      buckets.map(
        (bucket) =>
          `wrong stores r2 ${bucket}: can be listed and written to, but the server ignores conditional writes (If-None-Match): it would overwrite`,
      ),
    ],
    [
      'that takes what was damaged on the way',
      { ignoresMd5: true },
      [
        'wrong stores r2 Content-MD5: the server took content with a wrong Content-MD5: it stores what was damaged in transit',
      ],
    ],
    [
      'that gives whole objects only',
      { ignoresRanges: true },
      [
        'wrong stores r2 range reads: the server does not send the part of an object that is asked for (Range)',
      ],
    ],
    [
      'that wants larger parts',
      { minPartBytes: 6 * 2 ** 20 },
      [
        expect.stringMatching(/^wrong stores r2 multipart: .*EntityTooSmall/),
        'warning stores r2 range reads: not checked: there is no object to read',
      ],
    ],
    [
      'whose clock is five minutes ahead',
      { clockAheadMs: 300_000 },
      [
        expect.stringMatching(
          /^wrong clock r2: the clock of the server of r2 is (4 min 59|5 min 0|5 min 1) s ahead of/,
        ),
      ],
    ],
    ['whose clock is a minute behind', { clockAheadMs: -60_000 }, []],
    [
      'that lacks a bucket',
      { buckets: [cacheBucket, modelsBucket, containersBucket] },
      [expect.stringMatching(/^wrong stores r2 comfyume-user-files-backups: .*404 NoSuchBucket/)],
    ],
  ])('%s', async (_, manner, lines) => {
    const { server, env } = await anotherR2(manner)
    const first = await found(env)
    expect(first.lines).toEqual(lines)
    expect(first.code).toBe(lines.length > 0 ? 1 : 0)
    // A second look finds the same, and does not write again where the server would have overwritten.
    const before = server.log.length
    expect((await found(env)).lines).toEqual(lines)
    const again = server.log
      .slice(before)
      .filter(
        ({ operation, status, key }) =>
          operation === 'PutObject' && status === 200 && !key.endsWith('conditional-write-probe'),
      )
    expect(again).toEqual([])
  })

  it('that does not answer: said once, and all that lies behind it is not checked', async () => {
    const closed = `http://127.0.0.1:${await closedPort()}`
    const { code, lines } = await found({ R2_ENDPOINT: closed })
    expect(code).toBe(1)
    expect(lines.filter((line) => line.startsWith('wrong'))).toEqual([
      'wrong stores r2 server: 127.0.0.1 does not answer (ECONNREFUSED). Check the network, the name service and R2_ENDPOINT',
    ])
    const behind = lines.filter((line) => line.startsWith('warning'))
    expect(behind).toHaveLength(1 + buckets.length + 3)
    for (const line of behind) expect(line).toContain('not checked: ')
    const { stdout } = await clinic.doctor(['--only', 'stores', '--quiet'], {
      R2_ENDPOINT: closed,
    })
    expect(stdout).toMatch(
      /^warning {2}stores r2 comfyume-cache-backups, r2 comfyume-model-vault-backups, .*: not checked: /m,
    )
  })

  it('that knows the key but not the secret', async () => {
    const { code, lines } = await found({ R2_SECRET_ACCESS_KEY: 'another' })
    expect(code).toBe(1)
    expect(lines.filter((line) => line.startsWith('wrong'))).toEqual([
      expect.stringMatching(/^wrong stores r2 server: .*SignatureDoesNotMatch/),
    ])
  })

  it('that refused every write since the first look, whatever is there already', async () => {
    expect((await found()).code).toBe(0)
    clinic.workshop.r2.fail({ operation: 'PutObject', how: 403, code: 'AccessDenied', times: 100 })
    const { code, lines } = await found()
    expect(code).toBe(1)
    expect(lines.map((line) => line.split(':')[0])).toEqual([
      ...buckets.map((bucket) => `wrong stores r2 ${bucket}`),
      'wrong stores r2 Content-MD5',
    ])
  })

  it('that lets the key read only', async () => {
    for (const operation of ['PutObject', 'CreateMultipartUpload'])
      clinic.workshop.r2.fail({ operation, how: 403, code: 'AccessDenied', times: 100 })
    const { code, lines } = await found()
    expect(code).toBe(1)
    expect(lines.filter((line) => line.startsWith('wrong')).map((line) => line.split(':')[0])).toEqual([
      ...buckets.map((bucket) => `wrong stores r2 ${bucket}`),
      'wrong stores r2 multipart',
      'wrong stores r2 Content-MD5',
    ])
  })

  it('on which somebody changed the probe', async () => {
    await clinic.workshop.r2.put(cacheBucket, multipartProbe.key, Buffer.from('changed'))
    const { code, lines } = await found()
    expect(code).toBe(1)
    expect(lines[0]).toMatch(
      /^wrong stores r2 multipart: .* holds other content \(7 bytes\) than was written there/,
    )
  })
})

it('no secret is printed, whatever is wrong', async () => {
  const canary = (name: string) => `canary-${name}-5c0ff33`
  const env = {
    R2_SECRET_ACCESS_KEY: canary('r2'),
    R2_SESSION_TOKEN: canary('session'),
    HETZNER_ENDPOINT: 'https://127.0.0.1:1',
    HETZNER_ACCESS_KEY_ID: canary('id'),
    HETZNER_SECRET_ACCESS_KEY: canary('hetzner'),
    TAILSCALE_AUTHKEY: canary('tailscale'),
    CREDENTIALS_REPO: `https://user:${canary('git')}@127.0.0.1:9/x.git`,
    BACKUP_PING_URL: `https://127.0.0.1:9/${canary('ping')}`,
  }
  clinic.dotEnv(`R2_SECRET_ACESS_KEY=${canary('typo')}\n${canary('line')}\n`, 0o644)
  const own = clinic.ownCrontab('mello').replaceAll('/toolkit/scripts', '/gone/scripts')
  clinic.crontab(
    `R2_SECRET_ACCESS_KEY=${canary('cron')}\n${own}0 0 * * * KEY=${canary('inline')} ${clinic.toolkit}/scripts/backup-verda.ts --quick\n`,
  )
  for (const args of [[], ['--json'], ['--dry-run'], ['--on', 'verda']]) {
    const { stdout, stderr } = await clinic.doctor(args, env)
    expect(stdout.length).toBeGreaterThan(1000)
    expect(stdout + stderr).not.toMatch(/canary/)
  }
  // The same with a wrong value in the environment: then, too, only the name is printed.
  const { stdout, stderr } = await clinic.doctor(['--quiet'], { ...env, BACKUP_PING_URL: canary('ping') })
  expect(stdout).toContain('WRONG    settings BACKUP_PING_URL: must begin with https')
  expect(stdout + stderr).not.toMatch(/canary/)
})
