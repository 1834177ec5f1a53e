import type { Outcome } from '../hosts/host.ts'
import { printable } from '../printable.ts'

/** Why a script failed, for a message: that one of its processes was killed, else the last line that they printed. */
export function complaint({ stderr, exitCodes }: Outcome): string {
  // A shell says 128 and the signal. Of a broken pipe (13) the process behind it is the cause.
  const killed = exitCodes.find((code) => code > 128 && code !== 128 + 13)
  if (killed !== undefined) {
    return (
      `a process was killed there (signal ${killed - 128}). Look for a lack of memory (journalctl -k | grep -i oom), ` +
      'then run it again'
    )
  }
  const lines = stderr
    .trim()
    .split('\n')
    .filter((line) => !/Exiting with failure status|Error is not recoverable: exiting now/.test(line))
  // Not every name in it is escaped: tar gives those of extended attributes as an archive has them.
  return printable(lines.at(-1) ?? '') || `exit codes ${exitCodes.join(' ')}`
}
