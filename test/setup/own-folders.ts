import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll } from 'vitest'

/**
 * Runs before each test file: its temporary files, home, state and caches are its own, so that neither this machine nor another run of the
 * tests can change what it finds. Settings of this machine's installation are not seen.
 */
const folder = mkdtempSync(path.join(tmpdir(), 'test-'))
// Some tests run as another user.
chmodSync(folder, 0o711)
const own = { TMPDIR: 'tmp', HOME: 'home', XDG_STATE_HOME: 'state', XDG_CACHE_HOME: 'cache' }
const before = Object.fromEntries(Object.keys(own).map((name) => [name, process.env[name]]))
for (const [name, inside] of Object.entries(own)) {
  const at = path.join(folder, inside)
  mkdirSync(at)
  process.env[name] = at
}
chmodSync(path.join(folder, own.TMPDIR), 0o1777)

afterAll(() => {
  for (const [name, value] of Object.entries(before))
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  rmSync(folder, { recursive: true, force: true })
})
