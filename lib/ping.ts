/** Tells a monitoring service of the kind of healthchecks.io that a run began and how it ended. */
export interface Pinger {
  start(): Promise<void>
  /** `text` becomes the body: what a person needs to read first. */
  end(ok: boolean, text: string): Promise<void>
}

/**
 * Pings `<url>/<check>`, with `/start` and `/fail` behind it. Each line of cron has a check of its own, so that the success of one
 * never hides the silence of another. A ping that fails fails nothing: the service notices what it does not hear.
 */
export function pinger(url: string | undefined, check: string): Pinger {
  async function ping(ending: '' | '/start' | '/fail', body?: string): Promise<void> {
    if (!url) return
    const address = `${url.replace(/\/+$/, '')}/${check}${ending}`
    // A wrong address makes fetch throw as well; readSettings has named it.
    await fetch(address, { method: 'POST', body: body ?? null, signal: AbortSignal.timeout(10_000) }).catch(
      () => {},
    )
  }
  return {
    start: () => ping('/start'),
    end: (ok, text) => ping(ok ? '' : '/fail', text.slice(-10_000)),
  }
}

/** `backup-cron-default`, `backup-verda-config-scripts`: a command with what it was asked for. */
export function checkName(command: string, only: readonly string[] | undefined): string {
  return [command, ...(only ?? ['default'])].join('-')
}
