import { CaptureError } from '../capture/capture.ts'
import { HostError } from '../hosts/host.ts'
import { StoreError } from '../stores/store.ts'
import { type Finding, NotChecked, warning, wrong } from './check.ts'

/** What a check threw, as its finding. `otherwise`: what to do where the error itself does not say. */
export function errorFinding(error: unknown, otherwise = 'mend that, and run doctor again'): Finding {
  if (error instanceof NotChecked) return warning(error.message, error.todo)
  if (error instanceof HostError || error instanceof StoreError || error instanceof CaptureError) {
    const { found, todo } = inTwo(error.message)
    return wrong(found, todo ?? otherwise)
  }
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return wrong(
    `the check itself failed: ${oneLine(said)}`,
    'a defect of this toolkit: keep this line for whoever looks after it',
  )
}

/**
 * The errors of hosts, stores and captures say what is so and then, in the next sentence, what to do. Where ssh was
 * asked, what it said itself stands in the last line.
 */
export function inTwo(message: string): { found: string; todo?: string } {
  const [first = '', ...rest] = message.replace(/^(?:sfs|mello|verda): /, '').split('\n')
  const said = rest.find((line) => /^ssh said: |^It said: /.test(line))
  if (said !== undefined) {
    const lines = rest.slice(rest.indexOf(said)).map((line) => line.trim())
    return { found: oneLine(lines.join(' ')), todo: oneLine(first) }
  }
  if (rest.length > 0) return { found: first, todo: oneLine(rest.join(' ')) }
  const [, found = first, todo] =
    /^(.*?)(?:\. (?=[A-Z])|: (?=(?:build|install|name) ))(.*)$/s.exec(first) ?? []
  return todo === undefined ? { found } : { found, todo }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
