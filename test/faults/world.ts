import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { environment, settle } from '../scripts/verda.ts'
import {
  buildWorkshop,
  cacheBucket,
  containersBucket,
  image,
  modelsBucket,
  userFilesBucket,
} from '../scripts/workshop.ts'
import { startTcpProxy } from '../servers/tcp-proxy.ts'
import type { Random } from './random.ts'
import { type Finished, type RunOptions, runScript } from './run.ts'
import { difference, sources, stateOf } from './sources.ts'

export type World = Awaited<ReturnType<typeof buildWorld>>

/** A store in the campaign; each is seen as keys with content. */
export type StoreName = 'sfs' | 'mello' | 'r2'

export interface WorldOptions {
  /** The folder for everything; it must exist. */
  folder: string
  /** The share and Mello's disk are separate file systems, which can be filled or made read-only. */
  mounts: boolean
}

/** Size of the share and of Mello's disk, in KiB and in files. */
const diskKiB = 96 * 1024
const diskFiles = 100_000

/**
 * The tests' small workshop, for many rounds: its sources change, the real scripts run, and the world records
 * the state of the sources at every run.
 */
export async function buildWorld({ folder, mounts }: WorldOptions) {
  // The workshop makes its folder in TMPDIR.
  process.env.TMPDIR = folder
  const workshop = await buildWorkshop()
  const { verda, backups: mello, r2 } = workshop
  const disks = { sfs: verda.sfs, mello }
  mkdirSync(mello, { recursive: true })
  if (mounts) for (const disk of Object.values(disks)) mount(disk)
  const proxy = await startTcpProxy(Number(new URL(r2.endpoint).port))
  const roots = { verda: verda.root, mello: workshop.mello, images: path.join(verda.folder, 'images') }
  /** By item and record time: the possible states of its sources. */
  const truths = new Map<string, Set<string>>()
  let made = 0
  let ticks = 0

  const world = {
    folder: verda.folder,
    verda,
    disks,
    mounts,
    r2,
    buckets: [cacheBucket, modelsBucket, containersBucket, userFilesBucket],
    proxy,
    repository: workshop.repository,
    tmp: verda.tmp,
    /** `store key` of what a fault damaged: it counts for nothing, and commands must notice it. */
    damaged: new Set<string>(),
    /** `store key` of files that a fault planted as another program's: no command may touch them. */
    foreign: new Set<string>(),
    /** Processes that belong to the world itself. */
    servers: new Set<number>(),
    /** File system calls of a whole run of each command, when last counted. */
    calls: new Map<string, number>(),
    /** The same for requests to R2. */
    requests: new Map<string, number>(),

    /** The digest of an item's current sources. */
    stateNow(item: string): string {
      const source = sources[item]
      if (source === undefined) throw new Error(`the campaign does not know ${item}`)
      return stateOf(roots[source.host], source)
    },
    readVerda: (file: string) => readFileSync(path.join(verda.root, file)),
    readMello: (file: string) => readFileSync(path.join(workshop.mello, file)),

    /** Records the current sources as a state that a run at `now` may capture. */
    witness(now: string): void {
      for (const item of Object.keys(sources)) {
        const key = `${item} ${now}`
        truths.set(key, (truths.get(key) ?? new Set()).add(world.stateNow(item)))
      }
    },
    /** Whether the item's sources ever had this state for a run at that time. */
    isTruth: (item: string, time: string, state: string) =>
      truths.get(`${item} ${time}`)?.has(state) ?? false,
    /** How a state differs from the sources then. */
    untruth: (item: string, time: string, state: string) =>
      [...(truths.get(`${item} ${time}`) ?? [])].map((was) => difference(state, was)).join(' or '),
    hasTruth: (item: string, time: string) => truths.has(`${item} ${time}`),

    /** Changes an item's sources. Sizes stay about the same: items that shrink are refused. */
    change(item: string, random: Random): void {
      const hex = (bytes: number) => random.bytes(bytes).toString('hex')
      const project = 'home/dev/comfyume-v1'
      switch (item) {
        case 'env':
          verda.write(`${project}/.env`, `PASSWORD=pa$$${hex(900)}\n`, random.pick([0o600, 0o640]))
          break
        case 'ufw':
          verda.write('etc/ufw/user.rules', `*filter\n# ${hex(700)}\nCOMMIT\n`, 0o640)
          break
        case 'tailscale':
          verda.write('var/lib/tailscale/tailscaled.state', `{"key":"${hex(800)}"}`, 0o600)
          break
        case 'home-dev':
          // Mostly small beside what stays, so that Mello and R2 get increments.
          if (random.chance(0.2)) verda.write('home/dev/large', random.bytes(300_000))
          verda.write(`home/dev/notes/${random.below(4)}`, hex(500 + random.below(400)))
          if (random.chance(0.2))
            rmSync(path.join(verda.root, `home/dev/notes/${random.below(4)}`), { force: true })
          break
        case 'comfyume-worker':
          image(verda.folder, 'comfyume-worker', random.bytes(40_000))
          break
        case 'models':
          workshop.writeModel(
            `${random.pick(['checkpoints', 'loras', 'vae'])}/m${++made}.safetensors`,
            random.bytes(random.chance(0.15) ? 18_000_000 : 20_000),
          )
          break
        case 'user-data':
          workshop.write(`${project}/data/workflows/user001/file`, hex(1500))
          break
        case 'user-outputs':
          if (random.chance(0.2)) workshop.write(`${project}/data/outputs/user001/file`, random.bytes(50_000))
          workshop.write(`${project}/data/outputs/user00${2 + random.below(3)}/new`, random.bytes(2000))
          break
        case 'credentials':
          workshop.write(`${project}/nginx/.htpasswd`, `user001:${hex(100)}\n`)
          break
        default:
          throw new Error(`the campaign cannot change ${item}`)
      }
    },

    /** Milliseconds, unique in this world. */
    nextTick: () => ++ticks,
    /** BACKUP_NOW of the last run. */
    nowOfLastRun: '',
    /** Runs a real script to its end, however that comes. */
    run(command: string, args: readonly string[], options: RunOptions = {}): Promise<Finished> {
      world.nowOfLastRun = options.env?.BACKUP_NOW ?? world.nowOfLastRun
      const env = environment(verda, options.env ?? {}) as Record<string, string>
      return runScript(command, args, { ...options, env })
    },
    /** Settings that reach R2 through the proxy. */
    throughProxy: () => ({ R2_ENDPOINT: `http://127.0.0.1:${proxy.port}` }),
    /** Whether a restore to that folder has started and not finished. */
    isMarked: (root: string) => existsSync(path.join(root, 'var/lib/comfyume-backup/restoring')),
    /** Reads and removes a count file: the number of calls. */
    takeCount(file: string): number {
      const count = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
      rmSync(file, { force: true })
      return count
    },
    countCalls(command: string, file: string): void {
      world.calls.set(command, world.takeCount(file))
    },
    /** A restore target that does not exist yet. */
    drill: () => path.join(mkdtempSync(path.join(verda.folder, 'drill-')), 'root'),
    /** The credentials repository's files by name; empty if it has none. */
    credentials(): Map<string, Buffer> {
      const git = (...args: string[]) =>
        execFileSync('git', ['-C', workshop.repository, ...args], { stdio: 'pipe' })
      git('fsck', '--strict')
      if (git('for-each-ref').length === 0) return new Map()
      const names = git('ls-tree', '-r', '--name-only', 'HEAD').toString().trim().split('\n')
      return new Map(names.map((name) => [name, git('show', `HEAD:${name}`)]))
    },
    settle,
    /** Ends every fault that is still active. */
    heal(): void {
      r2.heal()
      proxy.slow(0)
      proxy.resume()
      proxy.heal()
    },
    async dispose() {
      await proxy.close()
      if (mounts) for (const disk of Object.values(disks)) execFileSync('umount', ['--lazy', disk])
      await workshop.dispose()
      rmSync(verda.folder, { recursive: true, force: true })
    },
  }
  verda.write('home/dev/large', firstContent.bytes(300_000))
  workshop.write('home/dev/comfyume-v1/data/outputs/user001/file', firstContent.bytes(50_000))
  for (const item of changeable) world.change(item, firstContent)
  settle()
  return world
}

/** The items that `change` can change. */
export const changeable = [
  'env',
  'ufw',
  'tailscale',
  'home-dev',
  'comfyume-worker',
  'user-data',
  'user-outputs',
  'credentials',
]

/** Every world starts with the same content. */
const firstContent: Random = {
  next: () => 0,
  below: () => 0,
  chance: () => false,
  pick: (list) => list[0] as (typeof list)[number],
  some: (list) => [...list],
  bytes: (count) =>
    Buffer.from(Array.from({ length: count }, (_, index) => (index * index * 31 + index) % 251)),
}

function mount(folder: string): void {
  execFileSync('mount', [
    '-t',
    'tmpfs',
    '-o',
    `size=${diskKiB}k,nr_inodes=${diskFiles},mode=755`,
    'tmpfs',
    folder,
  ])
}

/** Resizes or remounts a disk of the world. `options` are mount options such as `size` and `nr_inodes`. */
export function remount(folder: string, options: string): void {
  execFileSync('mount', ['-o', `remount,${options}`, folder], { stdio: 'pipe' })
}

export const wholeDisk = `size=${diskKiB}k,nr_inodes=${diskFiles},rw`
