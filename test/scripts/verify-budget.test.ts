import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { VerifyReport } from '../../lib/verify/read.ts'
import { buildVerda, type Verda } from './verda.ts'

let verda: Verda
beforeEach(() => {
  verda = buildVerda()
  for (const item of ['env', 'ufw', 'fail2ban'])
    for (const day of ['20', '21', '22', '23'])
      verda.putBackup(item, `2026-11-${day}`, `2026-11-${day}T05:00:00Z`, item.padEnd(100))
})
afterEach(() => verda.dispose())

/** Runs at an hour of the day, so one run can be later than another. */
async function verify(hour: number, args: string[] = [], env: Record<string, string> = {}) {
  const now = `2026-11-24T${String(hour).padStart(2, '0')}:00:00Z`
  const run = await verda.script('verify', ['--json', ...args], { env: { BACKUP_NOW: now, ...env } })
  if (run.stdout === '') throw new Error(run.stderr)
  const report = JSON.parse(run.stdout) as VerifyReport
  const read = report.checked.map(({ key }) => key.replace(/^config\/(.*)-2026-11-(\d\d)\.tar\.gz$/, '$1 $2'))
  return { code: run.code, log: run.stderr, ...report, read }
}

describe('with a budget', () => {
  test('that is too small for any archive, nothing was verified, which is no success', async () => {
    const { code, problems } = await verify(1, ['--store', 'sfs', '--bytes', '1'])
    expect(problems).toContain('the budget is too small for any archive: nothing was verified')
    expect(code).toBe(1)
  })

  test('the newest come first, then what was proven longest ago, run after run', async () => {
    const runs = [await verify(1, ['--bytes', '350']), await verify(2, ['--bytes', '350'])]
    expect(runs[0]?.read).toEqual(['fail2ban 23', 'ufw 23', 'env 23'])
    expect(runs[1]?.read).toEqual(['env 20', 'fail2ban 20', 'ufw 20'])
    expect(runs.map(({ unread, code }) => [unread, code])).toEqual([
      [9, 0],
      [9, 0],
    ])
    expect(runs[0]?.stores.sfs).toMatchObject({ archives: 12, bytes: 300 })
    await verify(3, ['--bytes', '300'])
    await verify(4, ['--bytes', '300'])
    expect((await verify(5, ['--bytes', '350'])).read).toEqual(['env 23', 'fail2ban 23', 'ufw 23'])
    expect((await verify(6, ['--bytes', '350'])).read).toEqual(['env 20', 'fail2ban 20', 'ufw 20'])
  })

  test('what is new, or is another one by now, comes before what was verified', async () => {
    await verify(1)
    verda.putBackup('env', '2026-11-24', '2026-11-24T01:30:00Z', 'new'.padEnd(100))
    verda.putBackup('ufw', '2026-11-21', '2026-11-21T09:00:00Z', 'replaced'.padEnd(100))
    expect((await verify(2, ['--bytes', '250'])).read).toEqual(['env 24', 'ufw 21'])
  })

  test('one for which too little was left is the first of the next run', async () => {
    verda.putBackup('env', '2026-11-23', '2026-11-23T05:00:00Z', 'large'.padEnd(250))
    expect((await verify(1, ['--bytes', '300'])).read).toEqual(['fail2ban 23', 'ufw 23', 'env 20'])
    // Half of the budget is for what waits in turn.
    expect((await verify(2, ['--bytes', '300'])).read).toEqual(['fail2ban 20', 'ufw 20', 'env 21'])
    expect((await verify(3, ['--bytes', '300'])).read).toEqual(['fail2ban 21', 'ufw 21', 'env 22'])
  })

  test('one that is larger than all of it is no success until it was read, and the others are read', async () => {
    verda.putBackup('env', '2026-11-23', '2026-11-23T05:00:00Z', 'large'.padEnd(500))
    const text =
      'sfs: larger than the whole budget, so never read with it: config/env-2026-11-23.tar.gz. To read it: comfyume-backup verify --store sfs --bytes 500'
    const { code, read, problems, log } = await verify(1, ['--bytes', '200'])
    expect([code, read, problems]).toEqual([1, ['fail2ban 23', 'ufw 23'], [text]])
    expect(log).toContain(`PROBLEM ${text}`)
    expect((await verify(2, ['--bytes', '200', '--sample'])).code).toBe(0)
    expect((await verify(3, ['--store', 'sfs', '--bytes', '500'])).read).toContain('env 23')
    const later = await verify(4, ['--bytes', '200'])
    expect([later.code, later.warnings]).toEqual([0, [text]])
  })

  test('one that was found broken is not forgotten while it lies there', async () => {
    verda.put('config/env-2026-11-23.tar.gz', 'x'.padEnd(100))
    expect((await verify(1)).code).toBe(1)
    const later = await verify(2, ['--bytes', '200'])
    expect([later.code, later.read.includes('env 23')]).toEqual([1, false])
    expect(later.problems).toEqual([
      'sfs: config/env-2026-11-23.tar.gz was found broken at 2026-11-24T01:00:00.000Z, and there was no budget to read it again',
    ])
    rmSync(path.join(verda.cache, 'config/env-2026-11-23.tar.gz'))
    rmSync(path.join(verda.cache, 'config/env-2026-11-23.tar.gz.sha256'))
    expect((await verify(3, ['--bytes', '200'])).code).toBe(0)
  })

  test('--sample takes any of them', async () => {
    const seen = new Set<string>()
    for (let run = 0; run < 12 && seen.size <= 3; run++) {
      const { read } = await verify(1, ['--bytes', '300', '--sample'])
      expect(read).toHaveLength(3)
      for (const name of read) seen.add(name)
    }
    expect(seen.size).toBeGreaterThan(3)
  })
})

describe('what is remembered', () => {
  const state = () => path.join(verda.folder, 'state')

  test('is no part of a dry run, which prints what the run after it reads', async () => {
    const env = { BACKUP_NOW: '2026-11-24T01:00:00Z' }
    const { stdout } = await verda.script('verify', ['--dry-run', '--bytes', '350'], { env })
    expect(stdout).toContain(
      'read 3 archives (300 bytes) back from sfs; 9 more (900 bytes) are left for another run',
    )
    const planned = [...stdout.matchAll(/config\/(\S+)-2026-11-(\d\d)\.tar\.gz/g)].map(
      ([, item, day]) => `${item} ${day}`,
    )
    expect((await verify(1, ['--bytes', '350'])).read).toEqual(planned)
    const json = await verda.script('verify', ['--dry-run', '--json', '--bytes', '350'], { env })
    expect(JSON.parse(json.stdout).stores[0].reads.map(({ item }: { item: string }) => item)).toEqual([
      'env',
      'fail2ban',
      'ufw',
    ])
  })

  test('lies on this machine, in a folder that is only this user’s, and holds nothing of what is gone', async () => {
    await verify(1)
    const folder = path.join(state(), 'comfyume-backup/verify')
    expect(readdirSync(folder)).toEqual([expect.stringMatching(/^sfs-[0-9a-f]{12}\.json$/)])
    const known = () => {
      const { archives } = JSON.parse(
        readFileSync(path.join(folder, readdirSync(folder)[0] as string), 'utf8'),
      )
      return Object.keys(archives).length
    }
    expect([statSync(folder).mode & 0o777, known()]).toEqual([0o700, 12])
    rmSync(path.join(verda.cache, 'config/env-2026-11-20.tar.gz'))
    rmSync(path.join(verda.cache, 'config/env-2026-11-20.tar.gz.sha256'))
    await verify(2, ['--only', 'ufw'])
    expect(known()).toBe(12)
    await verify(3)
    expect(known()).toBe(11)
    expect(verda.names().every((name) => /\.tar\.gz(\.sha256)?$/.test(name))).toBe(true)
  })

  test('that cannot be kept is told, and fails nothing', async () => {
    writeFileSync(path.join(verda.folder, 'file'), '')
    const { code, warnings } = await verify(1, [], { XDG_STATE_HOME: path.join(verda.folder, 'file') })
    expect(code).toBe(0)
    expect(warnings.join()).toMatch(
      /what was verified in sfs cannot be remembered, the next run starts over: /,
    )
  })

  test('that cannot be read is begun anew, and told', async () => {
    await verify(1)
    const folder = path.join(state(), 'comfyume-backup/verify')
    const file = path.join(folder, readdirSync(folder)[0] as string)
    chmodSync(file, 0o600)
    writeFileSync(file, 'garbage')
    const { code, warnings } = await verify(2)
    expect(code).toBe(0)
    expect(warnings.join()).toContain('could not be read and is started over')
    expect((await verify(3)).warnings.join()).not.toContain('started over')
  })
})

test('each line of cron has its own check, told of the start and of how it ended', async () => {
  const heard: string[] = []
  const service = createServer(async (request, answer) => {
    heard.push(`${request.url} ${(await text(request)).replace(/\n$/, '')}`)
    answer.end()
  })
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve))
  const env = { BACKUP_PING_URL: `http://127.0.0.1:${(service.address() as AddressInfo).port}/ping` }
  try {
    await verify(1, ['--store', 'sfs'], env)
    verda.put('config/env-2026-11-23.tar.gz', 'x'.padEnd(100))
    await verify(2, [], env)
    await verda.script('verify', ['--dry-run'], { env })
  } finally {
    service.close()
  }
  expect(heard).toEqual([
    '/ping/verify-sfs/start ',
    expect.stringMatching(/^\/ping\/verify-sfs OK verify: 12 good/),
    '/ping/verify-default/start ',
    expect.stringMatching(
      /^\/ping\/verify-default\/fail BROKEN env <- sfs: config\/env-2026-11-23.*\nFAILED verify/,
    ),
  ])
})

test('one environment forgets nothing of another', async () => {
  await verify(1)
  await verify(2, [], { ENVIRONMENT: 'staging' })
  verda.putBackup('ufw', '2026-11-22', '2026-11-22T09:00:00Z', 'replaced'.padEnd(100))
  expect((await verify(3, ['--bytes', '100'])).read).toEqual(['ufw 22'])
})

describe('wrong flags start nothing', () => {
  test.each<[string[], RegExp]>([
    [['--store', 's3'], /--store: s3: not known here; the stores are sfs, mello, r2, hetzner/],
    [['--store', ','], /--store is empty; the stores are sfs, mello, r2, hetzner/],
    [['--only', 'envy'], /--only: envy: not known here; .*tailscale.*user-outputs, config, containers/],
    [['--only', 'credentials'], /--only: credentials: not known here/],
    [['--bytes', '20X'], /--bytes takes a size such as 20G, 500M.*; it was given "20X"/],
    [['--bytes', '0'], /--bytes takes a size/],
    [['--bytes'], /--bytes needs a value/],
    [['--sample'], /--sample .* needs --bytes/],
    [['--drill-deep'], /--drill-deep is not known\. Known are --store NAME/],
    [['--store', 'r2'], /R2_ACCESS_KEY_ID is missing/],
    [['--store', 'hetzner'], /HETZNER_ENDPOINT is missing/],
  ])('%j', async (args, said) => {
    const { code, stdout, stderr } = await verda.script('verify', args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(said)
    expect(stderr).not.toContain('    at ')
    expect(existsSync(path.join(verda.folder, 'state'))).toBe(false)
  })

  test('--help is a page', async () => {
    const { code, stdout } = await verda.script('verify', ['--help'])
    expect(code).toBe(0)
    for (const word of [
      '--store NAME',
      '--bytes N',
      '--sample',
      '--adopt',
      'XDG_STATE_HOME',
      'SFS_ROOT',
      '  1  ',
    ])
      expect(stdout).toContain(word)
  })
})
