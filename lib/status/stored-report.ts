import { readTime } from '../time.ts'

/** What is read of a kept run report: a file that anybody may have written. */
export interface StoredReport {
  command: string
  startedAt: Date
  finishedAt: Date
  ok: boolean
  items: StoredItem[]
  problems: string[]
  safeToShutDown?: boolean
}

export interface StoredItem {
  item: string
  status: string
  reason?: string
  absent: boolean
  /** By store. */
  stores: Map<string, StoredOutcome>
}

export interface StoredOutcome {
  status: string
  key?: string
  bytes?: number
  error?: string
}

/** Reads a kept report. Undefined for a text that is none; what does not belong into it is passed over. */
export function readReport(text: string): StoredReport | undefined {
  const report = fieldsOf(parse(text))
  const startedAt = timeOf(report.startedAt)
  if (typeof report.command !== 'string' || startedAt === undefined || !Array.isArray(report.items))
    return undefined
  return {
    command: report.command,
    startedAt,
    finishedAt: timeOf(report.finishedAt) ?? startedAt,
    ok: report.ok === true,
    items: report.items.flatMap(readItem),
    problems: Array.isArray(report.problems)
      ? report.problems.filter((problem) => typeof problem === 'string')
      : [],
    ...(typeof report.safeToShutDown === 'boolean' ? { safeToShutDown: report.safeToShutDown } : {}),
  }
}

function readItem(value: unknown): StoredItem[] {
  const { item, status, reason, absent, stores } = fieldsOf(value)
  if (typeof item !== 'string' || typeof status !== 'string') return []
  return [
    {
      item,
      status,
      ...(typeof reason === 'string' ? { reason } : {}),
      absent: absent === true,
      stores: new Map(
        Object.entries(fieldsOf(stores)).map(([store, outcome]) => [store, readOutcome(outcome)]),
      ),
    },
  ]
}

function readOutcome(value: unknown): StoredOutcome {
  const { status, key, bytes, error } = fieldsOf(value)
  return {
    status: typeof status === 'string' ? status : '',
    ...(typeof key === 'string' ? { key } : {}),
    ...(typeof bytes === 'number' ? { bytes } : {}),
    ...(typeof error === 'string' ? { error } : {}),
  }
}

function timeOf(value: unknown): Date | undefined {
  return typeof value === 'string' ? readTime(value) : undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
