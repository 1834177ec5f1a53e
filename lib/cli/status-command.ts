import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type StoreName, stores } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { printable, printableLines } from '../printable.ts'
import { RequestError } from '../select.ts'
import { loadEnvironment, readSettings, type Settings } from '../settings.ts'
import { stateFolder } from '../state-folder.ts'
import { type Assessment, assess } from '../status/assess.ts'
import { gather } from '../status/gather.ts'
import { listingText, listStore } from '../status/list.ts'
import { memoryFile, recall, remember } from '../status/memory.ts'
import { statusPage } from '../status/page/page.ts'
import { writePage } from '../status/page/write-page.ts'
import { type CronRun, readCronRuns } from '../status/schedule.ts'
import { storesOf } from '../status/shelves.ts'
import { statusText } from '../status/text.ts'
import { type Vantage, vantageOf } from '../status/vantage.ts'
import { FlagError, type Flags, listOf } from './flags.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** `status` from its command line to its exit code: 0 all good, 1 something needs a person or could not be looked at. */
export async function statusCommand(flags: Flags): Promise<number> {
  checkTogether(flags)
  const named = typeof flags.list === 'string' ? [flags.list] : listOf(flags.stores)
  const needed = (named ?? []).filter((name): name is StoreName => name in stores)
  const environment = loadEnvironment(project)
  const settings = readSettings(environment, needed)
  const file = memoryFile(settings, stateFolder(environment.XDG_STATE_HOME))
  const wanted = wantedStores(named, settings)
  const vantage = vantageOf(settings)
  try {
    if (flags['dry-run']) return dryRun(flags, settings, vantage, wanted, file)
    if (typeof flags.list === 'string') return await list(flags.list as StoreName, flags, settings, vantage)
    return await look(flags, settings, vantage, wanted, file)
  } finally {
    await vantage.close()
  }
}

async function look(
  flags: Flags,
  settings: Settings,
  vantage: Vantage,
  wanted: ReadonlySet<StoreName>,
  file: string,
): Promise<number> {
  const markOff = flags['verda-off'] === true
  if (markOff && vantage.onVerda)
    throw new FlagError(
      '--verda-off: this is Verda itself, and it is on. Mark it on Mello, where status is looked at meanwhile',
    )
  const now = settings.now ?? new Date()
  const { seen, memory } = await gather({
    settings,
    vantage,
    wanted,
    memory: await recall(file),
    markOff,
    now,
  })
  const assessment = assess(seen, await cronRuns())
  await keep(file, memory, vantage, markOff, assessment)
  const written = typeof flags.html === 'string' ? await write(flags.html, assessment) : true
  if (flags.json) process.stdout.write(`${JSON.stringify(assessment, null, 2)}\n`)
  else {
    const text = statusText(assessment, flags.quiet === true)
    if (text !== '') process.stdout.write(`${printableLines(text)}\n`)
  }
  return assessment.ok && written ? 0 : 1
}

async function write(file: string, assessment: Assessment): Promise<boolean> {
  try {
    await writePage(file, statusPage(assessment))
    return true
  } catch (error) {
    process.stderr.write(`status: the page ${file} could not be written: ${printable(messageOf(error))}\n`)
    return false
  }
}

/** What could not be remembered is told: a mark that is not kept would raise alarms. */
async function keep(
  file: string,
  memory: Parameters<typeof remember>[1],
  { onVerda }: Vantage,
  markOff: boolean,
  assessment: Assessment,
): Promise<void> {
  if (onVerda) return
  try {
    await remember(file, memory)
  } catch (error) {
    const what = markOff ? 'that Verda is off' : 'how SFS looked'
    assessment.notes.push(`It could not be remembered ${what} (${messageOf(error)}).`)
    if (markOff) assessment.ok = false
  }
}

async function list(name: StoreName, flags: Flags, settings: Settings, vantage: Vantage): Promise<number> {
  try {
    const listings = await listStore(name, listOf(flags.only), { settings, vantage })
    process.stdout.write(`${flags.json ? JSON.stringify(listings, null, 2) : listingText(listings)}\n`)
    return 0
  } catch (error) {
    if (error instanceof RequestError) throw error
    process.stderr.write(`status: ${printable(messageOf(error))}\n`)
    return 1
  }
}

function dryRun(
  flags: Flags,
  settings: Settings,
  vantage: Vantage,
  wanted: ReadonlySet<StoreName>,
  file: string,
): number {
  const places: Record<StoreName, string> = {
    sfs: `${settings.sfs.cache} on ${vantage.onVerda ? 'this machine' : `verda, by ssh ${settings.verdaSsh}`}`,
    mello: `${settings.melloBackups} on this machine`,
    r2: settings.r2 ? `four buckets at ${settings.r2.endpoint}` : 'nothing: there is no key for it here',
    hetzner: `four buckets at ${settings.hetzner?.endpoint}`,
  }
  const looks = storesOf(settings)
    .filter((name) => wanted.has(name))
    .map((store) => ({ store, at: places[store] }))
  const text = [
    'status would look at this, and write nothing there:',
    ...looks.map(({ store, at }) => `  ${stores[store].title}: ${at}`),
    ...(flags.html ? [`and write the page ${flags.html}`] : []),
    ...(vantage.onVerda ? [] : [`and remember in ${file} how SFS looked`]),
  ]
  process.stdout.write(`${flags.json ? JSON.stringify({ looks }, null, 2) : text.join('\n')}\n`)
  return 0
}

function checkTogether(flags: Flags): void {
  if (flags.only !== undefined && flags.list === undefined)
    throw new FlagError('--only goes with --list: --list STORE --only a,b')
  for (const other of ['stores', 'verda-off', 'html'])
    if (flags.list !== undefined && flags[other] !== undefined)
      throw new FlagError(`--list and --${other} do not go together`)
}

function wantedStores(named: readonly string[] | undefined, settings: Settings): Set<StoreName> {
  const known = storesOf(settings)
  const unknown = (named ?? []).filter((name) => !known.some((store) => store === name))
  if (unknown.length > 0 || named?.length === 0)
    throw new RequestError(`${unknown.join(', ') || 'nothing'} is no store; there are ${known.join(', ')}`)
  return new Set(known.filter((store) => named === undefined || named.includes(store)))
}

/** The crontabs of this toolkit: what is installed on the machines is theirs. */
async function cronRuns(): Promise<CronRun[]> {
  const tables = await Promise.all(
    ['verda', 'mello'].map(async (host) =>
      readCronRuns(host, await readFile(path.join(project, 'crontab', host), 'utf8').catch(() => '')),
    ),
  )
  return tables.flat()
}
