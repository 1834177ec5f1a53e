import { checkRestored } from './oracle/restored.ts'
import { checkVerified } from './oracle/verified.ts'
import type { Oracle } from './oracle.ts'
import type { Random } from './random.ts'
import type { Finished, RunOptions } from './run.ts'
import type { World } from './world.ts'

export type Command = 'backup-cron' | 'backup-verda' | 'backup-mello' | 'restore' | 'verify' | 'status'

/** One fault to be tried: what runs, when, and its random numbers. */
export interface Round {
  world: World
  oracle: Oracle
  random: Random
  command: Command
  args: readonly string[]
  /** The stores that must have each item if the command ends well; empty for commands that only read. */
  asked: Record<string, readonly string[]>
  /** BACKUP_NOW of the runs. A kind may change it before it runs anything. */
  now: string
  /** The target of a restore. */
  root: string
  /** Runs the command in this round's world at this round's time. */
  run(options?: RunOptions): Promise<Finished>
}

/** The result of injecting a fault. */
export interface Injected {
  runs: Finished[]
  /** A few words for the failure's line. */
  what: string
  /** The run ended, or never reached the place. */
  tooLate?: boolean
  /** See Told. */
  mayCrash?: boolean
  /** Violations that only this kind can see. */
  problems?: string[]
}

export interface Kind {
  name: string
  /** Its share among the kinds. */
  weight: number
  /** What it requires; without it the kind is skipped, and the campaign says so. */
  needs?: 'mounts' | 'sshd' | 'fiu' | 'faketime'
  commands: readonly Command[]
  inject(round: Round): Promise<Injected>
}

const backups: Partial<Record<Command, Record<string, readonly string[]>>> = {
  'backup-cron': {
    env: ['sfs'],
    ufw: ['sfs'],
    tailscale: ['sfs'],
    'home-dev': ['sfs'],
    'comfyume-worker': ['sfs'],
  },
  'backup-verda': {
    env: ['mello', 'r2'],
    ufw: ['mello', 'r2'],
    'home-dev': ['mello', 'r2'],
    'comfyume-worker': ['mello', 'r2'],
    models: ['r2'],
  },
  'backup-mello': { 'user-data': ['r2'], 'user-outputs': ['r2'], credentials: ['git'] },
}

/** The items of each backup command that the campaign covers. */
export const itemsOf: Record<string, string[]> = Object.fromEntries(
  Object.entries(backups).map(([command, asked]) => [command, Object.keys(asked)]),
)

const isBackup = (command: Command): boolean => backups[command] !== undefined

/** Makes a round: a command, some of its items, and a time. */
export function makeRound(
  world: World,
  oracle: Oracle,
  random: Random,
  command: Command,
  now: string,
): Round {
  const all = backups[command]
  const whole = command === 'backup-verda' && random.chance(0.04)
  const items = random.some(Object.keys(all ?? { env: 0, 'home-dev': 0, ufw: 0, 'user-data': 0 }))
  const asked =
    all === undefined
      ? {}
      : Object.fromEntries((whole ? Object.keys(all) : items).map((item) => [item, all[item] as string[]]))
  const root = command === 'restore' ? world.drill() : ''
  const args = [
    '--json',
    ...(whole || command === 'verify' || command === 'status' ? [] : ['--only', items.join(',')]),
    ...(command === 'restore' ? ['--yes', '--root', root] : []),
  ]
  const round: Round = {
    world,
    oracle,
    random,
    command,
    args,
    asked,
    now,
    root,
    run: (options = {}) =>
      world.run(command, args, { ...options, env: { BACKUP_NOW: round.now, ...options.env } }),
  }
  return round
}

/** How a fault ended, for the table. */
export type Ending = 'completed' | 'failed and told' | 'killed' | 'too late'

export interface Result {
  index: number
  kind: string
  command: Command
  what: string
  ending: Ending
  violations: string[]
  seconds: number
}

/** Breaks a run, asks the oracle, runs again unbroken, and asks again. */
export async function playRound(
  round: Round,
  kind: Kind,
): Promise<Pick<Result, 'what' | 'ending' | 'violations'>> {
  const { world, oracle, command, asked } = round
  world.witness(round.now)
  const injected = await kind.inject(round)
  world.heal()
  const { runs, what, mayCrash = false } = injected
  const broken = await oracle.judge({ runs, now: round.now, asked, mayCrash, whole: false })
  const violations = [...(injected.problems ?? []), ...broken]
  if (command === 'restore') violations.push(...(await blocked(round)))
  violations.push(...(await again(round)).map((problem) => `next run: ${problem}`))
  if (isBackup(command) && round.random.chance(0.15)) violations.push(...(await restoreOne(round)))
  const ending: Ending = injected.tooLate
    ? 'too late'
    : runs.some(({ signal }) => signal !== null)
      ? 'killed'
      : runs.every(({ code }) => code === 0)
        ? 'completed'
        : 'failed and told'
  return { what, ending, violations }
}

/** Clause 5: the same command, unbroken, ends well a few minutes later. */
async function again(round: Round): Promise<string[]> {
  const { world, oracle, command, asked, root, args } = round
  round.now = later(round.now, 5)
  world.witness(round.now)
  const count = `${world.folder}/calls`
  const logged = world.r2.log.length
  const run = await round.run({ faultAt: { below: counted(world, command, root), count } })
  world.countCalls(command, count)
  world.requests.set(command, world.r2.log.length - logged)
  const problems = await oracle.judge({ runs: [run], now: round.now, asked, whole: isBackup(command) })
  if (command === 'verify') problems.push(...checkVerified(world, oracle, run))
  else if (command === 'status' ? ![0, 1].includes(run.code ?? -1) : run.code !== 0)
    problems.push(`${command} ${args.join(' ')} ended with ${run.code ?? run.signal}: ${said(run)}`)
  if (command === 'restore') problems.push(...checkRestored(world, oracle, run, root))
  return problems
}

/** A half-restored machine is not backed up. */
async function blocked({ world, root, now }: Round): Promise<string[]> {
  if (!world.isMarked(root)) return []
  const run = await world.run('backup-cron', ['--json', '--only', 'env'], {
    env: { BACKUP_NOW: now, VERDA_ROOT: root },
  })
  return run.code === 1 && run.stdout.includes('half restored')
    ? []
    : [`restore: a half restored machine was backed up: ${said(run)}`]
}

async function restoreOne({ world, oracle, random, asked, now }: Round): Promise<string[]> {
  const items = Object.keys(asked).filter(
    (item) => !['models', 'credentials', 'comfyume-worker'].includes(item),
  )
  if (items.length === 0) return []
  const root = world.drill()
  const item = random.pick(items)
  const args = ['--json', '--yes', '--root', root, '--only', item]
  const run = await world.run('restore', args, { env: { BACKUP_NOW: later(now, 1) } })
  const problems = checkRestored(world, oracle, run, root)
  return run.code === 0
    ? problems
    : [...problems, `restore of ${item} ended with ${run.code ?? run.signal}: ${said(run)}`]
}

/** The folders in which a command changes files. */
export function counted({ verda, disks }: World, command: Command, root: string): string[] {
  return command === 'restore'
    ? [root]
    : command === 'backup-cron'
      ? [verda.cache]
      : [disks.mello, `${verda.folder}/state`]
}

export function later(time: string, minutes: number): string {
  return new Date(Date.parse(time) + minutes * 60_000).toISOString()
}

export function said({ stdout, stderr }: Finished): string {
  const reasons = [...stdout.matchAll(/"(?:error|reason)": "(.*?)",?\n/g)].map(([, text]) => text)
  return [...new Set(reasons), stderr.trim()].join(' | ').slice(-1500)
}
