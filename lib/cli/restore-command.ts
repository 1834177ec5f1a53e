import path from 'node:path'
import { takeLocks } from '../locks.ts'
import { carryOutRestore } from '../restore/carry-out.ts'
import { prepareRestore } from '../restore/prepare.ts'
import { type RestoreRequest, readAt, selectForRestore } from '../restore/request.ts'
import { checkRoot, makeRoot } from '../restore/root.ts'
import { mounted, mountShare, type Share, shareOf } from '../restore/steps/share.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings.ts'
import { tellingOfBreak } from './broken-off.ts'
import { confirmed } from './confirm.ts'
import { FlagError, type Flags, listOf } from './flags.ts'
import { Progress } from './progress.ts'
import { showRestore } from './show-restore.ts'
import { restorePlanText } from './show-restore-plan.ts'

/** The command from its command line to its exit code. */
export async function restoreCommand(flags: Flags): Promise<number> {
  const request = readRequest(flags)
  const share = oneOf(flags, 'sfs', ['prod', 'clone'])
  const environment = loadEnvironment(path.resolve(import.meta.dirname, '../..'))
  const settings = readSettings(environment, storesNeeded(request))
  const selected = selectForRestore(request, settings)
  const root = path.resolve(typeof flags.root === 'string' ? flags.root : settings.roots.verda)
  const drill = root !== '/'
  const dryRun = flags['dry-run'] === true
  if (!dryRun && !drill && process.getuid?.() !== 0)
    throw new FlagError(
      'restoring this machine takes root: run it with sudo, or give a drill its folder with --root DIR',
    )
  await checkRoot(root)
  if (!dryRun && !flags.yes && !process.stdin.isTTY)
    throw new FlagError('there is no terminal to ask: give --yes to begin without a question')

  const out = flags.json ? process.stderr : process.stdout
  const clock = () => settings.now ?? new Date()
  const watch = showRestore({ out, quiet: flags.quiet === true, clock })
  const locks = dryRun ? undefined : await takeLocks(['restore'], `restore ${root}`, 'restore')
  const busy = locks?.busy.get('restore')
  if (busy !== undefined) {
    process.stderr.write(`restore: another restore to ${root} is under way: ${busy}\n`)
    return 75
  }
  try {
    const sharing = !drill && selected.some(({ sources }) => sources.includes('sfs'))
    const unmounted = sharing ? await reachShare(settings, share, dryRun) : undefined
    const looking = flags.quiet ? undefined : Progress.on(process.stderr)
    looking?.start('looking for copies in all sources')
    const { site, steps } = await prepareRestore(settings, request, {
      root,
      ...(share ? { share } : {}),
      now: clock(),
      watch,
    }).finally(() => looking?.stop())
    if (unmounted !== undefined) {
      const others = site.plan.notes.filter((note) => !note.startsWith('NOT LOOKED AT sfs: '))
      site.plan.notes = [unmounted, ...others]
    }
    if (dryRun) {
      const plan = { ...site.plan, steps: steps.map(({ name, title }) => ({ step: name, title })) }
      process.stdout.write(
        `${flags.json ? JSON.stringify(plan, null, 2) : restorePlanText(site.plan, steps)}\n`,
      )
      return 0
    }
    // Nobody is asked about what was not shown.
    if (!flags.quiet || !flags.yes) out.write(`${restorePlanText(site.plan, steps)}\n\n`)
    if (!flags.yes && !(await confirmed(`Restore this to ${root}? Type yes to begin: `))) {
      process.stderr.write('restore: it was not begun, and nothing was restored\n')
      return 2
    }
    await makeRoot(root)
    const report = await tellingOfBreak(brokenOff, () => carryOutRestore(site, steps, clock))
    if (flags.json) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    watch.end(report)
    return report.ok ? 0 : 1
  } finally {
    await locks?.release()
  }
}

const brokenOff =
  'restore: broken off. Run it again: what is done is seen and skipped. Until then no backup is made of this machine'

/** Without the share, its copies cannot be planned with: it is mounted first. Returns what the plan has to say of it. */
async function reachShare(
  settings: Settings,
  share: Share | undefined,
  dryRun: boolean,
): Promise<string | undefined> {
  if (!settings.sfs.requireMount) return undefined
  const { root } = settings.sfs
  if (dryRun && (await mounted(root)) === undefined)
    return `${root} is not mounted: a run mounts it first, and plans with what lies there`
  const problem = await mountShare(settings, shareOf(settings, share))
  return problem === undefined ? undefined : `NO SHARE: ${problem}`
}

function readRequest(flags: Flags): RestoreRequest {
  const only = listOf(flags.only)
  const from = listOf(flags.from)
  const full = flags.full === true
  return {
    ...(only ? { only } : {}),
    ...(from ? { from } : {}),
    ...(typeof flags.at === 'string' ? { at: readAt(flags.at) } : {}),
    prefer: oneOf(flags, 'prefer', ['order', 'newest']) ?? 'order',
    withModels: full || flags['with-models'] === true,
    withContainers: full || flags['with-containers'] === true || flags['with-container'] === true,
    skipSfs: flags['skip-sfs'] === true,
  }
}

/** A store that was asked for by name must be set up; of the others, that they are not is told in the plan. */
function storesNeeded({ from }: RestoreRequest): ('r2' | 'hetzner')[] {
  return (['r2', 'hetzner'] as const).filter((name) => from?.includes(name))
}

function oneOf<T extends string>(flags: Flags, name: string, known: readonly T[]): T | undefined {
  const value = flags[name]
  if (value === undefined) return undefined
  if ((known as readonly string[]).includes(String(value))) return value as T
  throw new FlagError(`--${name} takes ${known.join(' or ')}; it was given ${JSON.stringify(value)}`)
}
