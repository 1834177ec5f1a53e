import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { boundMemory, chooseDecompressor, readToItsEnd } from '../capture/compressor.ts'
import { memberPath } from '../capture/listing.ts'
import type { Asked } from '../cli/flags.ts'
import { print, printJson } from '../cli/output.ts'
import { Progress } from '../cli/progress.ts'
import { makeScratch, removeTree, withScratch } from '../files/scratch.ts'
import { bash, run, start } from '../hosts/process.ts'
import type { StoreName } from '../inventory.ts'
import { plannedItem, type RestoreContext, type RestoreWatcher } from '../restore/context.ts'
import { layCopy, openOffer, sourcesOf } from '../restore/files/copy.ts'
import type { RestoreRequest } from '../restore/plan/request.ts'
import type { ItemOutcome } from '../restore/report.ts'
import { carryOutRestore, prepareRestore } from '../restore/run.ts'
import { noteTexts, planJson, restorePlanText } from '../restore/show.ts'
import type { Offer } from '../restore-order.ts'
import type { Settings } from '../settings/settings.ts'
import { bytesInWords, firstOf, logLine, messageOf } from '../text.ts'
import type { verifyFlags } from './flags.ts'

/** Whether an item came back, and from which copy. */
export interface Drilled
  extends Pick<ItemOutcome, 'source' | 'key' | 'time' | 'bytes' | 'sha256' | 'passed'> {
  item: string
  /** `left out`: nothing of it is required, or the flags exclude its sources. */
  status: 'restorable' | 'not restorable' | 'left out'
  reason?: string
  /** Copies that a restore would have preferred, but that were bad. */
  bad?: ItemOutcome['passed']
}

/** What a drill found; printed by --json. */
export interface DrillReport {
  command: 'verify'
  drill: true
  environment: string
  startedAt: string
  finishedAt: string
  ok: boolean
  /** The notes of the restore's plan. */
  notes: string[]
  items: Drilled[]
}

export interface DrillRequest {
  /** Items or groups. Absent: all except models, which a drill does not download. */
  only?: string[]
  /** Absent: every source, in a restore's order. */
  stores?: readonly StoreName[]
}

/**
 * Restores the newest copy of everything into a scratch folder, with the steps of a real restore, and
 * compares the result with the archives. Removes the folder afterwards. Needs space for all of it.
 */
async function drill(
  settings: Settings,
  request: DrillRequest,
  watch: RestoreWatcher,
  clock: () => Date,
  onItem: (drilled: Drilled) => void,
): Promise<DrillReport> {
  const now = clock()
  const root = await makeScratch(tmpdir(), 'comfyume-drill')
  try {
    const { context, steps } = await planDrill(settings, request, now, watch, root)
    const { items: outcomes } = await carryOutRestore(context, steps, clock)
    const items: Drilled[] = []
    for (const outcome of outcomes) {
      const drilled = await judge(context, outcome)
      items.push(drilled)
      onItem(drilled)
    }
    return {
      command: 'verify',
      drill: true,
      environment: settings.environment,
      startedAt: now.toISOString(),
      finishedAt: clock().toISOString(),
      ok:
        items.every(({ status, bad }) => status !== 'not restorable' && bad === undefined) &&
        items.some(({ status }) => status === 'restorable'),
      notes: noteTexts(context.plan),
      items,
    }
  } finally {
    await removeTree(root)
  }
}

/** The restore that a drill runs. */
export function planDrill(
  settings: Settings,
  { only, stores }: DrillRequest,
  now: Date,
  watch: RestoreWatcher,
  root = path.join(tmpdir(), 'comfyume-drill'),
) {
  const request: RestoreRequest = {
    ...(only ? { only } : {}),
    ...(stores ? { from: [...stores] } : {}),
    prefer: 'order',
    withModels: false,
    withContainers: only === undefined,
    skipSfs: false,
  }
  return prepareRestore(settings, request, { root, now, watch })
}

async function judge(context: RestoreContext, outcome: ItemOutcome): Promise<Drilled> {
  const { item, status, reason, source, key, time, bytes, sha256, passed } = outcome
  const planned = plannedItem(context, item)
  const inAnyCase = (planned?.passed ?? []).filter(({ instead }) => !instead).map(({ offer }) => offer)
  const bad = passed?.filter(
    (copy) => !inAnyCase.some((offer) => offer.source === copy.source && offer.key === copy.key),
  )
  const from = { source, key, time, bytes, sha256, passed, ...(bad?.length && { bad }) }
  // An image is read and compared with its record. Loading needs an engine, which a drill never touches.
  if (planned?.kind === 'image' && status === 'skipped' && sha256)
    return { item, status: 'restorable', ...from }
  if (status === 'skipped') return { item, status: 'left out', reason }
  if (status === 'failed') return { item, status: 'not restorable', reason, ...from }
  const found = [
    ...(outcome.lacking ?? []).map((file) => `${file}: in none of its archives as its list has it`),
    ...(await differencesFrom(context, outcome).catch((error) => [messageOf(error)])),
  ]
  if (found.length === 0) return { item, status: 'restorable', ...from }
  return { item, status: 'not restorable', reason: firstOf(found, 3, '; '), ...from }
}

/** Runs `verify --drill` and returns its exit code. */
export async function runDrill(
  { only, dryRun, json, quiet }: Asked<typeof verifyFlags>,
  stores: readonly StoreName[] | undefined,
  settings: Settings,
  ended: (report: DrillReport, text: string) => Promise<void>,
): Promise<number> {
  const clock = () => settings.now ?? new Date()
  const out = json ? process.stderr : process.stdout
  const request = { only, stores }
  if (dryRun) {
    const { context, steps } = await planDrill(settings, request, clock(), watchWith(undefined))
    if (json) printJson(planJson(context.plan, steps))
    else print(restorePlanText(context.plan, steps))
    return 0
  }
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const line = (text: string) => {
    progress?.stop()
    out.write(logLine(clock(), text))
  }
  const report = await drill(settings, request, watchWith(progress), clock, (drilled) => {
    if (!quiet || isTrouble(drilled)) line(lineOf(drilled))
  })
  const failed = report.items.filter(isTrouble).map(lineOf)
  await ended(report, [...failed, summary(report)].join('\n'))
  if (json) printJson(report)
  if (!quiet || !report.ok) line(summary(report))
  return report.ok ? 0 : 1
}

/** A drill reports items, not steps; the spinner shows only what is running. */
function watchWith(progress: Progress | undefined): RestoreWatcher {
  return {
    started: (title) => progress?.start(title),
    total: (bytes) => progress?.expect(bytes),
    bytes: (bytes) => progress?.add(bytes),
    note() {},
    stepDone: () => progress?.stop(),
    checked() {},
  }
}

function isTrouble({ status, bad }: Drilled): boolean {
  return status === 'not restorable' || bad !== undefined
}

function lineOf({ item, status, reason, source, key, time, bytes, passed = [], bad }: Drilled): string {
  if (status === 'left out') return `left out ${item}: ${reason ?? ''}`
  if (status === 'not restorable') return `NOT RESTORABLE ${item}: ${reason ?? ''}`
  const from = key === undefined ? '' : ` <- ${source}: ${key}${time ? ` of ${time.slice(0, 16)}Z` : ''}`
  const over =
    passed.length > 0
      ? `; skipped: ${passed.map((copy) => `${copy.key} in ${copy.source} (${copy.reason})`).join(', ')}`
      : ''
  return `${bad ? 'NOT FROM ITS BEST COPY ' : 'restorable '}${item}${from}${bytes === undefined ? '' : ` (${bytesInWords(bytes)})`}${over}`
}

function summary({ ok, items }: DrillReport): string {
  const named = (status: Drilled['status']) =>
    items.filter((item) => item.status === status).map(({ item }) => item)
  const not = named('not restorable')
  const bad = items.filter((one) => one.bad).map(({ item }) => item)
  const parts = [
    `${named('restorable').length} restorable`,
    `${named('left out').length} left out`,
    `${not.length} not restorable${not.length > 0 ? ` (${not.join(', ')})` : ''}`,
    ...(bad.length > 0 ? [`${bad.length} not from the best copy (${bad.join(', ')})`] : []),
  ]
  return `${ok ? 'OK' : 'FAILED'} verify --drill: ${parts.join(', ')}`
}

/**
 * How an item's restored files differ from their archive, one line each: tar reads it again and compares
 * content, mode, owner, time and links. Empty if they did not come from an archive.
 */
export async function differencesFrom(context: RestoreContext, outcome: ItemOutcome): Promise<string[]> {
  const offer = plannedItem(context, outcome.item)?.candidates.find(
    ({ source, key }) => source === outcome.source && key === outcome.key,
  )
  if (offer === undefined || offer.kind === 'repository') return []
  const place = path.join(context.root, outcome.base ?? '')
  const { code, differences, complaints } =
    offer.links || (await hasHoles(place))
      ? await compareTree(context, outcome.item, offer, place)
      : await compare(script, [place], await openOffer(context, outcome.item, offer))
  const { left = [], stripped = [] } = outcome
  const isLeftOut = (line: string) => {
    const about = memberPath(line.replace(/^tar: /, ''))
    const isMode = stripped.some((member) => about === `${member}: Mode differs`)
    return isMode || left.some((member) => about.startsWith(`${member}: `))
  }
  const lines = `${differences}\n${complaints}`
    .split('\n')
    .filter(
      (line) => line !== '' && !isOwnersOnly(line) && !isLeftOut(line) && !line.includes('Exiting with'),
    )
  if (code === 0 || lines.length > 0) return lines
  // Only what was left out differs, or owners, which only root can change.
  if (left.length > 0 ? [1, 2].includes(code ?? 0) : code === 1 && differences !== '') return []
  return [complaints.trim().split('\n').at(-1) || `tar ended with ${code}`]
}

/** tar reads holes to compare them, and those of a terabyte for hours. */
async function hasHoles(place: string): Promise<boolean> {
  return (await run(bash(`${findHoles}\n((\${#holes[@]} > 0))`, [place]))).exitCode === 0
}

/** Unpacks a copy again, next to what was restored. */
async function compareTree(context: RestoreContext, item: string, offer: Offer, place: string) {
  return withScratch(tmpdir(), 'comfyume-drill', async (folder) => {
    const tree = path.join(folder, 'tree')
    await mkdir(tree)
    await layCopy(context, item, offer, tree)
    const sources = sourcesOf(context, item).map((one) => path.posix.relative('/', one.path))
    return compare(compareTrees, [...sources.filter((one) => existsSync(path.join(tree, one))), place, tree])
  })
}

async function compare(script: string, args: string[], archive?: Readable) {
  const child = await start(bash(script, args))
  const said = Promise.all([text(child.stdout), text(child.stderr)])
  if (archive) await pipeline(archive, child.stdin).catch(() => {})
  else child.stdin.end()
  const { code } = await child.ended
  const [differences, complaints] = await said
  return { code, differences, complaints }
}

function isOwnersOnly(line: string): boolean {
  return process.getuid?.() !== 0 && /: [UG]id differs$/.test(line)
}

const script = `
${chooseDecompressor}
"\${decompressor[@]}" | { (${boundMemory}; exec tar --compare --file=- --directory="$1" --numeric-owner \
  --quoting-style=escape); ${readToItsEnd}; }
`

/** Sets `holes`: what is mostly holes below the last argument. */
const findHoles = `
holes=()
while IFS=/ read -r -d '' blocks size name; do
  ((blocks * 1024 >= size)) || holes+=("$name")
done < <(find "\${@:$#}" -xdev -type f -size +64M -printf '%b/%s/%P\\0')
`

/**
 * Arguments: the sources, the restored folder, the folder to compare with. Of a file with holes it compares the
 * data, as tar finds it in both.
 */
const compareTrees = `
${findHoles}
again="\${@:$#}" restored="\${@:$#-1:1}" sources=("\${@:1:$#-2}") code=0
tar --create --file=- --directory="$again" --format=posix --sparse --numeric-owner --anchored --no-wildcards \
  "\${holes[@]/#/--exclude=}" -- "\${sources[@]}" |
  tar --compare --file=- --directory="$restored" --numeric-owner --quoting-style=escape || code=$?
pack() { tar --create --file=- --directory="$1" --format=gnu --sparse --numeric-owner -- "$name"; }
for name in "\${holes[@]}"; do
  cmp -s <(pack "$restored") <(pack "$again") || { printf '%s: Contents differ\\n' "\${name//$'\\n'/\\\\n}"; code=1; }
done
exit "$code"
`
