import { FlagError } from '../lib/cli/flags.ts'
import { objectStores } from '../lib/cli/help.ts'
import { main } from '../lib/cli/main.ts'
import { coloured, noteLostOutput, print, printJson, type Told } from '../lib/cli/output.ts'
import { ownLine } from '../lib/text.ts'
import { verifyCheck, verifyFlags } from '../lib/verify/flags.ts'

export default await main(
  import.meta.url,
  {
    command: 'verify',
    summary: 'reads archives back from each store and compares them with their records',
    description: `
It reads every byte as it is in the store, past this machine's page cache, and compares size and digest with the record. An archive without
a record is reported as unverified, or as broken if it is not a complete gzip file. Each store that was read gets a report of what is broken
there (runs/verify-…), for status and the backups; only --adopt writes anything else: records.

By default it reads every store that this machine has: r2 and hetzner when their keys are set, sfs and mello when their folder is there. A
store that you name must be there. The newest copy of each item comes first, then what was verified longest ago, so that with --bytes one
run after another goes through everything. What it read is remembered below $XDG_STATE_HOME, /var/lib (root) or ~/.local/state.

--drill restores the newest copy of everything but the models to a scratch folder, by the steps of a real restore, and compares it with
its archive file by file: content, mode, owner, time and links. It needs that much space in TMPDIR.

The last line says OK or FAILED. A broken archive is named, with what to do; restore skips it.`,
    flags: verifyFlags,
    check: verifyCheck,
    examples: {
      everything: 'comfyume-backup verify',
      'as cron runs it every month on Mello': 'comfyume-backup verify --bytes 200G',
      'a random gigabyte of the images': 'comfyume-backup verify --only containers --bytes 1G --sample',
      'could everything be restored right now': 'comfyume-backup verify --drill',
      'give the archives without a record of one item theirs': 'comfyume-backup verify --only env --adopt',
    },
    settings: ['SFS_ROOT', 'MELLO_BACKUPS', ...objectStores, 'BACKUP_PING_URL'],
    exits: {
      0: 'everything that was read is good, or unverified; in a drill, restorable',
      1: 'an archive is broken, an item not restorable, or a store could not be read; the rest went on',
      2: 'wrong flags or settings; nothing was started',
    },
  },
  async (asked, { toolkit, ping }) => {
    const { loadEnvironment, readSettings } = await import('../lib/settings/settings.ts')
    const { selectStored, selectStores } = await import('../lib/backup/select.ts')
    const { stateFolder } = await import('../lib/files/state.ts')
    const { tellingOfBreak } = await import('../lib/cli/confirm.ts')
    const { tell } = await import('../lib/cli/ping.ts')
    const { planVerify, storesOf, verify } = await import('../lib/verify/verify.ts')
    const { lastWordsOfVerify, showVerify, verifyPlanJson, verifyPlanText } = await import(
      '../lib/verify/show.ts'
    )

    const { bytes, drill, sample = false, adopt = false } = asked
    if (sample && bytes === undefined)
      throw new FlagError('--sample chooses what a budget is spent on: it needs --bytes N')
    if (drill && (adopt || sample || bytes !== undefined))
      throw new FlagError('--drill restores the newest of everything: it goes with --store and --only alone')
    const named = asked.store && selectStores(asked.store)
    const selected = drill ? [] : selectStored(asked.only)
    const request = { selected, named, budget: bytes, everything: asked.only === undefined, sample, adopt }
    const environment = loadEnvironment(toolkit)
    const settings = readSettings(environment, named)
    const records = adopt ? ' Records that it wrote stay.' : ''
    using _ = tellingOfBreak(
      () =>
        `verify: interrupted; its findings are not kept, and no copy was changed.${records}\nTo start over: ${ownLine()}`,
    )
    ping.start()
    const ended = async (report: Told, words: string) => {
      await noteLostOutput(report)
      for (const problem of await tell(ping, report, words))
        process.stderr.write(`verify: ping: ${problem}\n`)
    }
    if (drill) {
      const { runDrill } = await import('../lib/verify/drill.ts')
      return await runDrill(asked, named, settings, ended)
    }

    const clock = () => settings.now ?? new Date()
    const out = coloured(asked.json ? process.stderr : process.stdout)
    const show = showVerify({ out, quiet: asked.quiet === true, clock })
    show.looking(storesOf(request))
    const early: string[] = []
    const warn = (text: string) => early.push(text)
    const plan = await planVerify(request, settings, stateFolder(environment.XDG_STATE_HOME), clock(), warn)
    if (asked.dryRun) {
      show.stop()
      if (asked.json) printJson(verifyPlanJson(plan))
      else print(verifyPlanText(plan))
      return plan.stores.some(({ view }) => view.failures.length > 0) ? 1 : 0
    }
    show.plan(plan)
    for (const text of early) show.tell({ kind: 'warning', text })
    const report = await verify(plan, settings, clock, show.tell) // all stores at once, one reader each
    report.warnings.unshift(...early)
    await ended(report, lastWordsOfVerify(report))
    if (asked.json) printJson(report)
    show.end(report)
    return report.ok ? 0 : 1
  },
)
