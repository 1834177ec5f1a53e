import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { freePort } from '../servers/sshd.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { ownerOf } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  layUserFiles,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

let server: RealS3
let owner: ReturnType<typeof ownerOf>
let proxy: TcpProxy
let machines: TwoMachines
let env: Record<string, string>

const [cache = ''] = bucketNames

beforeAll(async () => {
  machines = await buildTwoMachines()
  server = (await realS3Servers.VersityGW?.(bucketNames)) as RealS3
  owner = ownerOf(server)
  proxy = await startTcpProxy(Number(new URL(server.endpoint).port))
  env = { ...storeSettings('R2', server, proxy.port), ...layUserFiles(machines) }
  machines.settle()
})

afterAll(async () => {
  await proxy.close()
  owner.close()
  await server.close()
  await machines.dispose()
})

describe('a stream from Verda that breaks off in the middle', () => {
  test.each<[string, string, () => void, RegExp]>([
    [
      'the connection is cut',
      '2026-11-24',
      () => machines.sshd.cut(),
      /verda: the connection was lost midway.*the instance still runs.*run again: /s,
    ],
    [
      'tar is killed there',
      '2026-11-25',
      () => killTar(),
      /^\/home\/dev could not be read completely on verda: a process was killed there \(signal 9\).*run again: .*$/,
    ],
  ])('%s: nothing is under its name, and the next run is clean', async (_, day, breakOff, message) => {
    const now = { ...env, BACKUP_NOW: `${day}T10:00:00Z` }
    const keyOf = (item: string) => `config/${item}-${day}.tar.gz`
    machines.verda.write('root/.bashrc', `# ${day}\n`)
    // New on each day, and more than all buffers together hold: tar still runs when the object store takes no more.
    machines.verda.write('home/dev/large.bin', randomBytes(250_000_000))
    machines.settle()
    const running = machines.start('backup-verda', ['--only', 'home-dev,root-home'], now)
    await proxy.sentMore(40_000_000)
    proxy.stall()
    await expect.poll(() => partialsOf('home-dev'), { timeout: 20_000 }).toHaveLength(1)
    breakOff()
    proxy.resume()
    const { code, log, item } = await running.ended

    expect(code, log).toBe(1)
    expect(item('home-dev').reason).toMatch(message)
    expect(log).toContain('FAILED backup-verda: ')
    expect(item('home-dev').stores).toMatchObject({ mello: { status: 'failed' }, r2: { status: 'failed' } })
    expect(item('root-home'), 'the connection is made anew').toMatchObject({ status: 'stored' })
    const held = await owner.list(cache)
    for (const key of [keyOf('home-dev'), `${keyOf('home-dev')}.sha256`]) {
      expect(held.has(key), key).toBe(false)
      expect(existsSync(`${machines.copies}/${key}`), key).toBe(false)
    }
    expect(partialsOf('home-dev')).toEqual([])
    expect(await owner.unfinished(cache)).toContain(keyOf('home-dev'))

    const next = await machines.run('backup-verda', ['--only', 'home-dev,root-home'], now)
    expect(next.code, next.log).toBe(0)
    expect(next.item('home-dev').stores).toMatchObject({
      mello: { status: 'stored', key: keyOf('home-dev') },
      r2: { status: 'stored', key: keyOf('home-dev') },
    })
    expect(next.item('root-home').status).toBe('unchanged')
    expect(checkByHand(machines.copies)).toEqual([])
    expect(await owner.sha256(cache, keyOf('home-dev'))).toBe(next.item('home-dev').stores.mello?.sha256)
  })

  function partialsOf(item: string): string[] {
    const folder = `${machines.copies}/config`
    return (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.startsWith(`.${item}-`))
  }

  /** Kills the tar that reads Verda's files, found by its open folders. */
  function killTar(): void {
    const pid = readdirSync('/proc').find((name) => {
      try {
        return (
          readFileSync(`/proc/${name}/comm`, 'utf8') === 'tar\n' &&
          readdirSync(`/proc/${name}/fd`).some((fd) =>
            readlinkSync(`/proc/${name}/fd/${fd}`).startsWith(machines.verda.root),
          )
        )
      } catch {
        return false
      }
    })
    process.kill(Number(pid), 'SIGKILL')
  }
})

describe('Verda cannot be reached', () => {
  test.each<[string, () => Promise<string>, RegExp]>([
    ['nothing listens there', async () => `  Port ${await freePort()}`, /no ssh server is listening/],
    ['whoever answers hangs up at once', () => hangingUp(), /the connection was lost or never made/],
  ])('%s: exit 1 with one reason, found out once', async (_, port, reason) => {
    machines.addSshHost('gone', `  HostName 127.0.0.1\n${await port()}`)
    const { code, log, report } = await machines.run('backup-verda', [], { ...env, VERDA_SSH: 'gone' })
    expect(code, log).toBe(1)
    const reasons = new Set(report.items.map((outcome) => outcome.reason))
    expect(reasons.size).toBe(1)
    expect([...reasons][0]).toMatch(reason)
    expect(report.items.every(({ status }) => status === 'failed')).toBe(true)
    expect(log.match(new RegExp(reason, 'g')), 'told once, and once more in the last line').toHaveLength(2)
    expect(log.trim().split('\n').at(-1)).toMatch(
      /^NOT SAFE TO SHUT DOWN: tailscale, .* models failed \(mello, r2\): verda: /,
    )
  })

  /** A server that counts its connections and hangs up on each. */
  async function hangingUp(): Promise<string> {
    let visits = 0
    const listener = createServer((socket) => {
      visits += 1
      socket.destroy()
    })
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      listener.close()
      expect(visits).toBe(1)
    })
    return `  Port ${(listener.address() as { port: number }).port}`
  }

  test('backup-mello does not need it: all done', async () => {
    const { code, log } = await machines.run('backup-mello', [], { ...env, VERDA_SSH: 'gone' })
    expect(code, log).toBe(0)
  })

  test('with the user files on Verda, backup-mello still keeps the credentials', async () => {
    machines.writeOnMello('home/dev/comfyume-v1/nginx/.htpasswd', 'user001:$apr1$changed\n')
    const more = { VERDA_SSH: 'gone', USER_DATA_HOST: 'verda' }
    const { code, log, item } = await machines.run('backup-mello', [], { ...env, ...more })
    expect(code, log).toBe(1)
    expect(item('user-data').status).toBe('failed')
    expect(item('user-outputs').status).toBe('failed')
    expect(item('credentials')).toMatchObject({ status: 'stored' })
    const kept = execFileSync('git', [
      '-c',
      'safe.directory=*',
      '-C',
      machines.home('credentials.git'),
      'show',
      'HEAD:nginx/.htpasswd',
    ])
    expect(kept.toString()).toBe('user001:$apr1$changed\n')
  })
})
