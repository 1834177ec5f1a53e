import { logLine, printableLines } from '../printable.ts'
import { bytesOf, type VerifyPlan } from '../verify/plan.ts'
import type { Checked, VerifyReport } from '../verify/report.ts'
import type { VerifyWatcher } from '../verify/verify.ts'
import { Progress } from './progress.ts'
import type { ShowOptions } from './show.ts'
import { bytesInWords } from './words.ts'

/**
 * Tells a run of verify as it goes: a line an archive, dated as cron's log needs it. On a terminal good archives have no line of their own, for a
 * spinner shows how far it is.
 */
export function showVerify({
  out,
  quiet,
  clock,
}: ShowOptions & { out: { isTTY?: boolean } }): VerifyWatcher & {
  looking(stores: readonly string[]): void
  plan(plan: VerifyPlan): void
  stop(): void
  end(report: VerifyReport): void
} {
  const progress = quiet ? undefined : Progress.on(process.stderr)
  const brief = quiet || (progress !== undefined && out.isTTY === true)
  const line = (text: string) => {
    progress?.stop()
    out.write(logLine(clock(), text))
    progress?.resume()
  }
  return {
    looking: (stores) => progress?.start(`looking at ${stores.join(', ')}`),
    plan({ stores }) {
      const reads = stores.flatMap((store) => store.reads)
      progress?.start(`reading ${reads.length} archives back`)
      progress?.expect(bytesOf(reads))
    },
    stop: () => progress?.stop(),
    started: ({ store, item }) => progress?.title(`reading back, now ${item} from ${store}`),
    bytes: (bytes) => progress?.add(bytes),
    leftOut(why) {
      if (!quiet) line(`left out ${why}`)
    },
    checked(checked) {
      if (checked.status === 'broken' || !(checked.status === 'good' ? brief : quiet)) line(lineOf(checked))
    },
    adopted({ item, store, key, time }) {
      if (!quiet) line(`adopted ${item} <- ${store}: ${key}: its record is written, with the time ${time}`)
    },
    warning(text) {
      if (!quiet) line(`warning ${text}`)
    },
    problem: (text) => line(`PROBLEM ${text}`),
    end(report) {
      if (!quiet || !report.ok) line(summary(report))
      progress?.stop()
    },
  }
}

function lineOf({ store, item, key, status, reason, advice, bytes, sha256 }: Checked): string {
  const what = `${status === 'broken' ? 'BROKEN' : status} ${item} <- ${store}: ${key}`
  if (status === 'gone') return `${what}: rotated or taken away since it was listed`
  if (status === 'broken') return `${what} ${reason}. ${advice}`
  const size = `(${bytesInWords(bytes)}, sha256 ${sha256?.slice(0, 12)})`
  return reason === undefined ? `${what} ${size}` : `${what} ${reason} ${size}`
}

/** The last line: what was found and, by name, what is wrong. */
function summary({ ok, checked, adopted, stores, unread, problems }: VerifyReport): string {
  const of = (status: Checked['status']) => checked.filter((one) => one.status === status)
  const broken = of('broken').map(({ store, key }) => `${store} ${key}`)
  const failed = Object.entries(stores).flatMap(([name, { status }]) => (status === 'failed' ? [name] : []))
  const read = Object.values(stores).reduce((sum, { bytes }) => sum + bytes, 0)
  const parts = [
    `${of('good').length} good`,
    `${of('unverified').length} unverified`,
    ...(adopted.length > 0 ? [`${adopted.length} adopted`] : []),
    `${broken.length} broken${broken.length > 0 ? ` (${firstOf(broken)})` : ''}`,
    ...(of('gone').length > 0 ? [`${of('gone').length} gone`] : []),
    `${unread} not read`,
    ...(failed.length > 0 ? [`unreachable: ${failed.join(', ')}`] : []),
    ...(problems.length > 0 ? [`${problems.length} problem${problems.length > 1 ? 's' : ''}`] : []),
  ]
  return `${ok ? 'OK' : 'FAILED'} verify: ${parts.join(', ')}; ${bytesInWords(read)} read`
}

function firstOf(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')
}

/** What somebody who is called at night has to read. */
export function lastWordsOfVerify(report: VerifyReport): string {
  const broken = report.checked.filter(({ status }) => status === 'broken').map(lineOf)
  return [...broken, ...report.problems, summary(report)].join('\n')
}

/** A plan for people: what is read from where, in order. */
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

export function verifyPlanJson({ environment, now, budget, adopt, stores }: VerifyPlan): string {
  const plan = stores.map(({ view, reads, left }) => ({
    store: view.name,
    ...(view.leftOut !== undefined ? { leftOut: view.leftOut } : {}),
    failures: view.failures,
    reads,
    left: left.length,
  }))
  return JSON.stringify({ command: 'verify', environment, now, budget, adopt, stores: plan }, null, 2)
}
