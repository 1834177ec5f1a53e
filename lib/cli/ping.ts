import { printable } from '../text.ts'
import type { PingOutcome, Told } from './output.ts'

/** Reports the start and the end of a run to a monitoring service such as healthchecks.io. */
export interface Pinger {
  /** Does not wait for the answer, so a slow service delays nothing. */
  start(): void
  /** `text` is the body, with the most important part first. Undefined without a service. */
  end(ok: boolean, text: string): Promise<PingOutcome | undefined>
}

/** Each line of cron has its own check, so that one's success does not hide another's silence. */
export function pinger(setting: string | undefined, check: string): Pinger {
  // readSettings reports a wrong address.
  const url = setting && URL.canParse(setting) ? setting : undefined
  const outcome: PingOutcome = { check, ok: true, problems: [] }
  let started: Promise<void> | undefined
  async function send(signal: Signal, text: string): Promise<void> {
    const problem = await ping(url as string, check, signal, text)
    if (problem === undefined) return
    outcome.ok = false
    if (!outcome.problems.includes(problem)) outcome.problems.push(problem)
  }
  return {
    start() {
      if (url) started = send('start', '')
    },
    async end(ok, text) {
      if (!url) return undefined
      await started
      await send(ok ? 'success' : 'fail', text)
      return outcome
    },
  }
}

/** Reports the end of a run and notes the result in its report. Returns the service's error. */
export async function tell(ping: Pinger, report: Told, text: string): Promise<readonly string[]> {
  const outcome = await ping.end(report.ok, text)
  if (outcome === undefined) return []
  report.ping = outcome
  report.ok &&= outcome.ok
  return outcome.problems
}

/** The service keeps a `log` ping without changing the check's state. */
export type Signal = 'start' | 'success' | 'fail' | 'log'

/** Sends one ping and retries network and service failures. Returns the error without the secret address. */
export async function ping(
  url: string,
  check: string,
  signal: Signal,
  text: string,
): Promise<string | undefined> {
  let problem: string | undefined
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    try {
      const { ok, status, body } = await fetch(pingAddress(url, check, signal), {
        method: 'POST',
        body: text.slice(-10_000),
        // Another address, such as a login page, would get a GET and answer it well.
        redirect: 'manual',
        signal: AbortSignal.timeout(10_000),
      })
      const said = await firstChunk(body)
      // healthchecks.io answers 200 to an unknown UUID and to too many pings: "OK (not found)".
      if (ok && !/^OK \(/.test(said)) return undefined
      problem = ok
        ? `the monitoring service ignored the ping of ${check}: ${printable(said.slice(0, 50))}`
        : status === 404
          ? `the monitoring service has no check named ${check}: create it there`
          : status >= 300 && status < 400
            ? `the monitoring service answered ${status}, a redirect: set BACKUP_PING_URL to the address it leads to`
            : `the monitoring service answered ${status}`
      if (status < 500 && status !== 429) return problem
    } catch (error) {
      problem = `the monitoring service could not be reached: ${reasonOf(error)}`
    }
  }
  return problem
}

async function firstChunk(body: AsyncIterable<Uint8Array> | null): Promise<string> {
  for await (const chunk of body ?? []) return Buffer.from(chunk).toString()
  return ''
}

const attempts = 3
const pauseMs = 1_000

/** `<url>/<check>`, plus `/start`, `/fail` or `/log`. A query such as `?create=1` stays at the end. */
export function pingAddress(url: string, check: string, signal: Signal): URL {
  const address = new URL(url)
  const folder = address.pathname.replace(/\/+$/, '')
  address.pathname = `${folder}/${check}${signal === 'success' ? '' : `/${signal}`}`
  address.hash = ''
  return address
}

/** fetch hides the reason in the cause, and its messages may contain the address. */
function reasonOf(error: unknown): string {
  const { name, cause } = error as Error
  if (name === 'TimeoutError') return 'no answer within 10 s'
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? name
}
