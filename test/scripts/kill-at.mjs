/**
 * Loaded before a script (`node --import`): kills the process just before its call number KILL_AT that
 * changes a file system; with KILL_COUNT it writes the number of those calls there instead.
 */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'

const killAt = Number(process.env.KILL_AT ?? Number.POSITIVE_INFINITY)
let calls = 0
for (const name of ['rename', 'link', 'unlink', 'open', 'mkdir']) {
  const call = promises[name]
  promises[name] = (...args) => {
    if (String(args[0]).startsWith(process.env.KILL_BELOW)) {
      if (calls++ === killAt) process.kill(process.pid, 'SIGKILL')
      if (process.env.KILL_COUNT) fs.writeFileSync(process.env.KILL_COUNT, String(calls))
    }
    return call(...args)
  }
}
syncBuiltinESMExports()
