import path from 'node:path'
import { FlagError, flag, list, oneOf, planFlags, text } from '../lib/cli/flags.ts'
import { objectStores } from '../lib/cli/help.ts'
import { main } from '../lib/cli/main.ts'
import { coloured, noteLostOutput, print, printJson } from '../lib/cli/output.ts'

export default await main(
  import.meta.url,
  {
    command: 'restore',
    summary:
      'makes an empty machine the workshop again, or brings single items back; run it on the new instance, as root',
    description: `
It looks in all sources and prints the plan: what comes from where, how old it is, and at the top what is missing or newer elsewhere. It
asks once, then carries the plan out.

Every archive is compared with its record before a file of the system is changed. A copy that is not what it should be is skipped, and the
next one serves. What is overwritten is kept aside, who may log in by ssh still may, and what is there already is left alone, so an
interrupted restore is simply run again. The tailscale identity is in place before tailscaled starts. Until a restore is finished, no
backup of the machine is made.

Without --only it also sees to packages, the user dev, the project, the firewall and the crontab, and ends with a checklist. Models and
images come with --with-models, --with-containers, or --full.`,
    flags: {
      yes: flag('begin without asking'),
      only: list('a,b', 'only these items or groups, nothing else; item:user-data is without outputs'),
      path: text('PATTERN', "single files of the one item in --only: 'home/dev/notes/*'"),
      to: text('DIR', 'with --path: put them below DIR instead of in place'),
      at: text('DATE[-HH]', 'as it was at the end of that day or hour (UTC)'),
      from: list('SOURCES', 'only from these: root, sfs, r2, hetzner, mello, git'),
      prefer: oneOf(['order', 'newest'], 'the first source in the order (default), or the newest copy'),
      sfs: oneOf(['prod', 'clone'], 'which share to mount; by default that of ENVIRONMENT'),
      withModels: flag('also the models: links to SFS, else downloads'),
      withContainers: flag('also the images'),
      withContainer: flag('the same, as the old script called it'),
      full: flag('both'),
      skipSfs: flag('do not mount or use the share'),
      root: text('DIR', 'a drill: put files below DIR, touch no service'),
      ...planFlags,
    },
    examples: {
      'what would be done': 'comfyume-backup restore --full --dry-run',
      'everything, on a new instance': 'comfyume-backup restore --full',
      'one item as it was yesterday': 'comfyume-backup restore --only env --at 2026-11-23',
      'a file as it was yesterday, without touching the one of today':
        'comfyume-backup restore --only home-dev --path home/dev/notes.txt --at 2026-11-23 --to /tmp/old',
      "users' files from R2": 'comfyume-backup restore --only user-data --from r2',
      'a drill, which touches nothing of the machine': 'comfyume-backup restore --yes --root /tmp/drill',
    },
    settings: [
      'SFS_ROOT',
      'SFS_CACHE',
      'SFS_PROD',
      'SFS_CLONE',
      ...objectStores,
      'VERDA_TAILSCALE_IP',
      'TAILSCALE_AUTHKEY',
      'PROJECT_REPO',
      'CREDENTIALS_REPO',
    ],
    exits: {
      0: 'everything asked for is back, and the checklist is OK',
      1: 'an item, a step or a line of the checklist failed; the rest went on',
      2: 'wrong flags or settings, or the answer was not yes; nothing was started',
      75: 'another restore is under way, or a backup of what was asked for',
    },
  },
  async (asked, { toolkit }) => {
    const { loadEnvironment, readSettings } = await import('../lib/settings/settings.ts')
    const { checkPath, readAt, selectForRestore } = await import('../lib/restore/plan/request.ts')
    const { checkRoot, makeRoot } = await import('../lib/restore/context.ts')
    const { lockForRestore } = await import('../lib/restore/marker.ts')
    const { reachShare } = await import('../lib/restore/steps/share.ts')
    const { carryOutRestore, prepareRestore } = await import('../lib/restore/run.ts')
    const { planJson, reportJson, restorePlanText, showRestore } = await import('../lib/restore/show.ts')
    const { confirmed, tellingOfBreak } = await import('../lib/cli/confirm.ts')
    const { Progress } = await import('../lib/cli/progress.ts')

    const { dryRun = false, quiet = false, yes, sfs: share, full = false } = asked
    const request = {
      only: asked.only,
      from: asked.from,
      path: asked.path?.replace(/^\/+/, ''),
      at: asked.at === undefined ? undefined : readAt(asked.at),
      prefer: asked.prefer ?? 'order',
      withModels: asked.withModels ?? full,
      withContainers: asked.withContainers ?? asked.withContainer ?? full,
      skipSfs: asked.skipSfs === true,
    }
    // A store named in --from must be set up. For the others, the plan says if they are not.
    const needed = (['r2', 'hetzner'] as const).filter((name) => request.from?.includes(name))
    const settings = readSettings(loadEnvironment(toolkit), needed)
    const selected = selectForRestore(request, settings)
    if (asked.to !== undefined && request.path === undefined)
      throw new FlagError('--to belongs to --path; a drill of whole items takes --root DIR')
    checkPath(request.path, selected)
    const root = path.resolve(asked.to ?? asked.root ?? settings.roots.verda)
    const drill = root !== '/'
    if (!dryRun && !drill && process.getuid?.() !== 0)
      throw new FlagError(
        'restoring this machine takes root: run it with sudo, or give a drill its folder with --root DIR',
      )
    await checkRoot(root)
    if (!dryRun && !yes && !process.stdin.isTTY)
      throw new FlagError('there is no terminal to ask: give --yes to begin without a question')

    const out = coloured(asked.json ? process.stderr : process.stdout)
    const clock = () => settings.now ?? new Date()
    const watch = showRestore({ out, quiet, clock })
    await using locks = await lockForRestore(root, dryRun, dryRun || drill ? [] : selected, settings)
    if (locks.busy !== undefined) {
      process.stderr.write(`restore: ${locks.busy}\n`)
      return 75
    }
    const sharing = !drill && selected.some(({ sources }) => sources.includes('sfs'))
    let begun: typeof steps | undefined
    using _ = tellingOfBreak(() =>
      watch.broken(begun, { sharing, marked: !drill && request.path === undefined }),
    )
    const unmounted = sharing ? await reachShare(settings, share, dryRun) : undefined
    const looking = quiet ? undefined : Progress.on(process.stderr)
    looking?.start('looking for copies in all sources')
    const options = { root, share, now: clock(), watch }
    const { context, steps } = await prepareRestore(settings, request, options).finally(() => looking?.stop())
    const { plan } = context
    if (unmounted !== undefined)
      plan.notes = [
        unmounted,
        ...plan.notes.filter((note) => note.kind !== 'not looked at' || note.source !== 'sfs'),
      ]
    if (dryRun) {
      if (asked.json) printJson(planJson(plan, steps))
      else print(restorePlanText(plan, steps))
      return 0
    }
    // Do not ask about a plan that was not shown.
    if (!quiet || !yes) out.write(`${restorePlanText(plan, steps)}\n\n`)
    if (!yes && !(await confirmed(`Restore this to ${root}? Type yes to begin: `))) {
      process.stderr.write('restore: cancelled; nothing was changed\n')
      return 2
    }

    await makeRoot(root)
    // The marker now stops backups of this machine, so release the items for other machines.
    await locks.releaseItems()
    begun = steps
    const report = await carryOutRestore(context, steps, clock) // each step looks, acts and checks
    await noteLostOutput(report)
    if (asked.json) printJson(reportJson(report))
    watch.end(report)
    return report.ok ? 0 : 1
  },
)
