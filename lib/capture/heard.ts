import { CaptureError } from './capture.ts'

/** Names that a capture keeps of what a host tells it, in characters: those of some hundred thousand files. */
const most = 8 * 2 ** 20

/**
 * Counts what a capture keeps of a host's words. Throws CaptureError when it is more than any honest run has to say: a host that was taken must not fill the memory of
 * this machine, nor the records.
 */
export function listener(named: string, hostName: string): (line: string) => string {
  let heard = 0
  return (line) => {
    heard += line.length + 1
    if (heard <= most) return line
    throw new CaptureError(
      `${named} on ${hostName}: more names of changed or strange files came than can be kept (${most / 2 ** 20} MiB): see what goes on there`,
    )
  }
}
