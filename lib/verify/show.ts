import type { ShowOptions } from '../backup/show.ts'
import { Progress } from '../cli/progress.ts'
import { bytesInWords, firstOf, logLine, printableLines } from '../text.ts'
import { bytesOf, type VerifyPlan } from './plan.ts'
import type { Checked, VerifyEvent, VerifyReport } from './read.ts'

/** Prints progress: a dated line per archive, for cron's log. On a terminal, a spinner replaces good ones. */
export function showVerify({ out, quiet, clock }: ShowOptions & { out: { isTTY?: boolean } }) {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const brief = quiet || (progress !== undefined && out.isTTY === true)
  const line = (text: string) => {
    progress?.stop()
    out.write(logLine(clock(), text))
    progress?.resume()
  }
  return {
    looking: (stores: readonly string[]) => progress?.start(`looking at ${stores.join(', ')}`),
    plan({ stores }: VerifyPlan) {
      const reads = stores.flatMap((store) => store.reads)
      progress?.start(`reading ${reads.length} archives back`)
      progress?.expect(bytesOf(reads))
    },
    stop: () => progress?.stop(),
    tell(event: VerifyEvent) {
      if (event.kind === 'started')
        progress?.title(`reading back, now ${event.archive.item} from ${event.archive.store}`)
      else if (event.kind === 'bytes') progress?.add(event.bytes)
      else if (event.kind === 'checked') {
        const { status, known } = event.checked
        if ((status === 'broken' && !(quiet && known)) || !(status === 'good' ? brief : quiet))
          line(lineOf(event.checked))
      } else if (event.kind === 'problem') line(`PROBLEM ${event.text}`)
      else if (quiet) return
      else if (event.kind === 'left out') line(`left out ${event.why}`)
      else if (event.kind === 'warning') line(`warning ${event.text}`)
      else if (event.kind === 'adopted') {
        const { item, store, key, time } = event.adopted
        line(`adopted ${item} <- ${store}: ${key}: its record is written, with the time ${time}`)
      }
    },
    end(report: VerifyReport) {
      if (!quiet || !report.ok) line(summary(report))
      progress?.stop()
    },
  }
}

function lineOf({ store, item, key, status, reason, advice, known, bytes, sha256 }: Checked): string {
  const what = `${known ? 'known broken' : status === 'broken' ? 'BROKEN' : status} ${item} <- ${store}: ${key}`
  if (status === 'gone') return `${what}: rotated or moved away since it was listed`
  if (known) return `${what} ${reason}; a newer archive there is good`
  if (status === 'broken') return `${what} ${reason}. ${advice}`
  const size = `(${bytesInWords(bytes)}, sha256 ${sha256?.slice(0, 12)})`
  return reason === undefined ? `${what} ${size}` : `${what} ${reason} ${size}`
}

/** The last line: the result and, by name, what is wrong. */
function summary({ ok, checked, adopted, stores, unread, problems }: VerifyReport): string {
  const of = (status: Checked['status']) => checked.filter((one) => one.status === status)
  const [known, broken] = [true, false].map((is) =>
    of('broken')
      .filter((one) => (one.known === true) === is)
      .map(({ store, key }) => `${store} ${key}`),
  ) as [string[], string[]]
  const failed = Object.entries(stores).flatMap(([name, { status }]) => (status === 'failed' ? [name] : []))
  const read = Object.values(stores).reduce((sum, { bytes }) => sum + bytes, 0)
  const parts = [
    `${of('good').length} good`,
    `${of('unverified').length} unverified`,
    ...(adopted.length > 0 ? [`${adopted.length} adopted`] : []),
    `${broken.length} broken${broken.length > 0 ? ` (${firstOf(broken, 5)})` : ''}`,
    ...(known.length > 0 ? [`${known.length} known broken (${firstOf(known, 5)})`] : []),
    ...(of('gone').length > 0 ? [`${of('gone').length} gone`] : []),
    `${unread} not read`,
    ...(failed.length > 0 ? [`unreachable: ${failed.join(', ')}`] : []),
    ...(problems.length > 0 ? [`${problems.length} problem${problems.length > 1 ? 's' : ''}`] : []),
  ]
  return `${ok ? 'OK' : 'FAILED'} verify: ${parts.join(', ')}; ${bytesInWords(read)} read`
}

/** What someone called at night must read. */
export function lastWordsOfVerify(report: VerifyReport): string {
  const broken = report.checked.filter(({ status, known }) => status === 'broken' && !known).map(lineOf)
  return [...broken, ...report.problems, summary(report)].join('\n')
}

/** A plan as text: what is read from where, in order. */
export function verifyPlanText({ environment, now, adopt, stores }: VerifyPlan): string {
  const lines = [`verify in ${environment} at ${now.toISOString()} would do this:`]
  for (const { view, reads, left } of stores) {
    if (view.leftOut !== undefined) lines.push(`  left out ${view.leftOut}`)
    lines.push(...view.failures.map((failure) => `  FAILED ${failure}`))
    if (view.shelves.length === 0) continue
    const rest =
      left.length > 0 ? `; ${left.length} more (${bytesInWords(bytesOf(left))}) are left for another run` : ''
    lines.push(
      `  read ${reads.length} archives (${bytesInWords(bytesOf(reads))}) back from ${view.name}${rest}`,
    )
    for (const { key, bytes, stamp, recorded } of reads) {
      const adopted = adopt && stamp !== undefined && !recorded ? ', and write its record if it is whole' : ''
      lines.push(
        `    ${key} (${bytes === undefined ? 'only its record is there' : bytesInWords(bytes)})${adopted}`,
      )
    }
  }
  return printableLines(lines.join('\n'))
}

export function verifyPlanJson({ environment, now, budget, adopt, stores }: VerifyPlan) {
  const plan = stores.map(({ view, reads, left }) => ({
    store: view.name,
    ...(view.leftOut !== undefined ? { leftOut: view.leftOut } : {}),
    failures: view.failures,
    reads,
    left: left.length,
  }))
  return { command: 'verify', environment, now, budget, adopt, stores: plan }
}
