import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { startTcpProxy, type TcpProxy } from '../servers/tcp-proxy.ts'
import { breachesIn, isCommit, ownerOf } from './buckets.ts'
import {
  bucketNames,
  buildTwoMachines,
  checkByHand,
  storeSettings,
  type TwoMachines,
} from './two-machines.ts'

const cache = bucketNames[0] as string

let machines: TwoMachines
const disposals: (() => unknown)[] = []

beforeAll(async () => {
  machines = await buildTwoMachines()
})

afterAll(async () => {
  for (const dispose of disposals.reverse()) await dispose()
  await machines.dispose()
})

test.each(
  Object.keys(realS3Servers).flatMap((name) => [
    { name, bytes: 1000, request: 'PUT', query: '', what: 'in one request' },
    { name, bytes: 40_000_000, request: 'POST', query: '?uploadId=', what: 'in parts' },
  ]),
)(
  '$name: two runs race for one key $what: exactly one wins, the other takes the next name',
  async ({ name, bytes, request, query }) => {
    const server = (await realS3Servers[name]?.(bucketNames)) as RealS3
    const owner = ownerOf(server)
    const proxy: TcpProxy = await startTcpProxy(Number(new URL(server.endpoint).port))
    disposals.push(
      () => server.close(),
      owner.close,
      () => proxy.close(),
    )
    const env = { ...storeSettings('R2', server, proxy.port), TOOLKIT_DIR: '/opt/racing' }

    // Separate places and server names, so no lock separates the runs; each reads different files.
    const contents = ['one', 'other'].map((side) => {
      const content = randomBytes(bytes)
      for (const [file, text] of [
        ['package.json', side],
        ['bin/node', content],
      ] as const)
        machines.verda.write(`${side}/opt/racing/${file}`, text)
      return createHash('sha256').update(content).digest('hex')
    })
    machines.settle()
    const names = ['scripts-2026-11-24.tar.gz', 'scripts-2026-11-24-10.tar.gz']
    // Both have found the name free before either writes to it.
    proxy.meet(`${request} /${cache}/${names[0]}${query}`, 2)
    const runs = await Promise.all(
      ['one', 'other'].map((side) =>
        machines.run('backup-verda', ['--only', 'scripts'], {
          ...env,
          R2_ENDPOINT: `http://${side === 'one' ? '127.0.0.1' : 'localhost'}:${proxy.port}`,
          VERDA_ROOT: `${machines.verda.root}/${side}`,
          MELLO_BACKUPS: machines.home(`${name}-${bytes}-${side}`),
        }),
      ),
    )
    for (const { code, log } of runs) expect(code, log).toBe(0)
    const outcomes = runs.map((run) => run.item('scripts').stores.r2)
    expect(outcomes.map((outcome) => outcome?.key).toSorted()).toEqual(names.toSorted())
    for (const outcome of outcomes)
      expect(await owner.sha256(cache, outcome?.key ?? '')).toBe(outcome?.sha256)
    expect(new Set(contents).size).toBe(2)
    expect(new Set(outcomes.map((outcome) => outcome?.sha256)).size).toBe(2)

    const folder = machines.home(`seen ${name} ${bytes}`)
    await owner.download(cache, folder)
    expect(checkByHand(folder)).toEqual([])
    const log = await server.log()
    expect(breachesIn(log, bucketNames.length)).toEqual([])
    const tries = log.filter(
      ({ operation, key }) => key === names[0] && /^(PutObject|CompleteMultipartUpload)$/.test(operation),
    )
    expect(tries.filter(isCommit)).toHaveLength(1)
    expect(
      tries.filter(({ status }) => status === 412),
      'it was a race',
    ).toHaveLength(1)
  },
)
