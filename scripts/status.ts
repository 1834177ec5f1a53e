import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { FlagError, flag, list, oneOf, text } from '../lib/cli/flags.ts'
import { objectStores } from '../lib/cli/help.ts'
import { main } from '../lib/cli/main.ts'
import { complain, print, printJson } from '../lib/cli/output.ts'
import { messageOf, printableLines } from '../lib/text.ts'

export default await main(
  import.meta.url,
  {
    command: 'status',
    summary: 'says whether everything could be restored right now, and what to do where it could not',
    description: `
It looks at every store that this machine can reach, and writes nothing there: SFS on Verda or through ssh, Mello's copies on Mello, the
object stores with their keys.

First comes what is missing, overdue, broken or unreachable, each with what to do. Then come every item in every store with its age, the
runs, the space that is left, and what R2 costs. What did not change is not written again, so an old archive may still be fresh: then the
report of a run says so. What cron makes is overdue after twice the time between two runs. What only a person starts has no due time.`,
    flags: {
      list: oneOf(
        ['sfs', 'mello', 'r2', 'hetzner'],
        'list everything in sfs, mello, r2 or hetzner, with sizes and totals',
        'STORE',
      ),
      find: text(
        'PATTERN',
        'say which copies hold a file: a name, or with / in front a whole path; * and ? are wildcards',
      ),
      only: list('a,b', 'with --list or --find: these items or groups'),
      at: text('DATE[-HH]', 'with --find: as it was then; with --since, until then'),
      since: text('DATE[-HH]', 'with --find: in copies from then on (UTC)'),
      yes: flag('with --find: read more than 1 GB from object storage without asking'),
      html: text('FILE', 'also write it as one page, without network or script'),
      stores: list('STORES', 'look only at these: sfs, mello, r2, hetzner, git (the credentials)'),
      all: flag('count the whole history of large buckets as well: sizes, what R2 costs, unknown files'),
      verdaOff: flag(
        'Verda is off on purpose: mute the alarms that only Verda can end, until it answers again',
      ),
      dryRun: flag('print what it would look at'),
      json: flag('everything as JSON on standard output'),
      quiet: flag('print only what needs action'),
    },
    examples: {
      'could everything be restored': 'comfyume-backup status',
      'on Verda, from where Mello cannot be seen': 'comfyume-backup status --stores sfs',
      'as a page': 'comfyume-backup status --html status.html',
      'what is on R2': 'comfyume-backup status --list r2',
      'which copies hold a lost file, and how to bring it back':
        "comfyume-backup status --find 'notes.txt' --only home-dev",
      'the images on Mello': 'comfyume-backup status --list mello --only containers',
      'on Mello, after Verda was shut down': 'comfyume-backup status --verda-off',
    },
    settings: ['VERDA_SSH', 'SFS_ROOT', 'MELLO_BACKUPS', ...objectStores, 'CREDENTIALS_REPO'],
    exits: {
      0: 'everything could be restored right now; with --find, the file was found',
      1: 'something needs action, or a store could not be reached; with --find, nothing matches',
      2: 'wrong flags or settings, or the answer was not yes; nothing was started',
    },
  },
  async (asked, { toolkit }) => {
    const { loadEnvironment, readSettings } = await import('../lib/settings/settings.ts')
    const { isStore, placesOf, vantageOf, wantedStores } = await import('../lib/status/look/access.ts')
    const { assess } = await import('../lib/status/judge/assess.ts')
    const { gather } = await import('../lib/status/look/gather.ts')
    const { listingText, listStore } = await import('../lib/status/show/list.ts')
    const { memoryFile, recall, remember } = await import('../lib/status/look/memory.ts')
    const { readCronRuns } = await import('../lib/status/judge/expected.ts')
    const { stateFolder } = await import('../lib/files/state.ts')
    const { statusPage, writePage } = await import('../lib/status/show/page/page.ts')
    const { statusJson, statusText } = await import('../lib/status/show/text.ts')

    const { list: listed, find, verdaOff: markOff = false, html, all = false } = asked
    if (asked.only && !listed && !find)
      throw new FlagError("--only goes with --list STORE or --find 'PATTERN'")
    for (const [name, other] of Object.entries({ at: asked.at, since: asked.since, yes: asked.yes }))
      if (other && !find) throw new FlagError(`--${name} goes with --find 'PATTERN'`)
    for (const [name, other] of Object.entries({ stores: asked.stores, find }))
      if (listed && other) throw new FlagError(`--list and --${name} do not go together`)
    for (const [name, other] of Object.entries({ 'verda-off': markOff, html, all }))
      if ((listed || find) && other)
        throw new FlagError(`--${listed ? 'list' : 'find'} and --${name} do not go together`)
    const named = listed ? [listed] : asked.stores
    const environment = loadEnvironment(toolkit)
    const settings = readSettings(environment, named?.filter(isStore))
    const state = stateFolder(environment.XDG_STATE_HOME)
    const file = memoryFile(settings, state)
    const wanted = wantedStores(named, settings)
    await using vantage = vantageOf(settings)

    if (find) {
      const { findFile } = await import('../lib/status/find.ts')
      return findFile({ ...asked, find }, settings, vantage, wanted)
    }
    if (asked.dryRun) {
      const looks = placesOf(wanted, settings, vantage)
      if (asked.json) printJson({ looks: looks.map(({ store, at }) => ({ store, at })) })
      else {
        print('status would look at this, and write nothing there:')
        for (const { title, at } of looks) print(`  ${title}: ${at}`)
        if (html) print(`and write the page ${html}`)
        if (!vantage.onVerda) print(`and remember in ${file} how SFS looked`)
      }
      return 0
    }
    if (listed)
      try {
        const listings = await listStore(listed, asked.only, { settings, vantage })
        if (asked.json) printJson(listings)
        else print(listingText(listings))
        return 0
      } catch (error) {
        if (error instanceof FlagError) throw error
        return complain('status', error)
      }

    if (markOff && vantage.onVerda)
      throw new FlagError(
        '--verda-off: this is Verda itself, and it is on. Mark it on Mello, where status is looked at meanwhile',
      )
    const { seen, memory } = await gather({
      settings,
      vantage,
      wanted,
      memory: await recall(file),
      verifyFolder: path.join(state, 'verify'),
      markOff,
      all,
      calendar: html !== undefined,
      now: settings.now ?? new Date(),
    })
    // The toolkit's own crontabs, which may differ from the installed ones.
    const crontab = (host: string) => readFile(path.join(toolkit, 'crontab', host), 'utf8').catch(() => '')
    const runs = [
      ...readCronRuns('verda', await crontab('verda')),
      ...readCronRuns('mello', await crontab('mello')),
    ]
    const assessment = assess(seen, runs)
    if (!vantage.onVerda)
      await remember(file, memory).catch((error) => {
        const what = markOff ? 'that Verda is off' : 'how SFS looked'
        assessment.notes.push(`It could not be remembered ${what} (${messageOf(error)}).`)
        // Without a saved mark, later runs would raise alarms.
        assessment.ok &&= !markOff
      })
    let code = assessment.ok ? 0 : 1
    if (html)
      await writePage(html, statusPage(assessment)).catch((error) => {
        code = complain('status', `the page ${html} could not be written: ${messageOf(error)}`)
      })
    const words = statusText(assessment, asked.quiet === true)
    if (asked.json) printJson(statusJson(assessment))
    else if (words !== '') print(printableLines(words))
    return code
  },
)
