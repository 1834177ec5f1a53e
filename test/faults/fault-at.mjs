/**
 * Loaded before a script (`node --import`): breaks its call number `at` to a file system below `below`.
 * FAULT_AT is JSON. `how`: SIGKILL just before the call, an error code to throw, or `short` for half a write.
 * `times`: calls in a row. `count`: a file for the number of calls. `looks`: break reading calls instead.
 */
import fs from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import os from 'node:os'

let fault = JSON.parse(process.env.FAULT_AT ?? '{"below":[]}')
const changing = [
  'rename',
  'link',
  'unlink',
  'open',
  'mkdir',
  'rm',
  'rmdir',
  'writeFile',
  'symlink',
  'chmod',
  'chown',
]
const looking = ['stat', 'lstat', 'readdir', 'readFile']
const ofHandles = ['write', 'sync', 'close', 'writeFile']
let calls = 0

/** For tests that break calls of their own process: sets a new fault, counted from 0. */
export function plant(next) {
  fault = next
  calls = 0
}

/** The fault for this call, or undefined. */
function faultOf(target, isLook) {
  const { below, at = -1, how, times = 1, looks = false, count } = fault
  if (isLook !== looks || !below.some((folder) => String(target).startsWith(folder))) return undefined
  const number = calls++
  if (count) fs.writeFileSync(count, String(calls))
  if (number < at || number >= at + times || at < 0) return undefined
  if (how.startsWith('SIG')) process.kill(process.pid, how)
  return how
}

function failure(code, name, target) {
  const errno = -os.constants.errno[code]
  return Object.assign(new Error(`${code}: planted, ${name} '${target}'`), {
    code,
    errno,
    syscall: name,
    path: target,
  })
}

for (const name of [...changing, ...looking]) {
  const call = promises[name]
  promises[name] = async (...args) => {
    const fault = faultOf(args[0], looking.includes(name))
    if (fault && fault !== 'short' && !fault.startsWith('SIG')) throw failure(fault, name, args[0])
    const result = await call(...args)
    if (name === 'open') spoil(result, args[0])
    return result
  }
}

/** Makes an open file fail as its path would. */
function spoil(handle, target) {
  for (const name of ofHandles) {
    const call = handle[name].bind(handle)
    handle[name] = async (...args) => {
      const fault = faultOf(target, false)
      if (fault === undefined || fault.startsWith('SIG')) return call(...args)
      if (fault === 'short') {
        const [chunk, offset = 0, length = chunk.length - offset, ...rest] = args
        return name === 'write' && length > 1
          ? call(chunk, offset, Math.ceil(length / 2), ...rest)
          : call(...args)
      }
      // A file whose close fails is still closed.
      if (name === 'close') await call()
      throw failure(fault, name, target)
    }
  }
}
syncBuiltinESMExports()
