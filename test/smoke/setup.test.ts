import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'

/** Three steps of set-up; the second one never ends by itself. */
const code = `
const { carryOutSetup } = await import('${new URL('../../lib/setup/run.ts', import.meta.url).href}')
const { setOwnLine } = await import('${new URL('../../lib/text.ts', import.meta.url).href}')
setOwnLine(['setup', 'mello', '--user', 'root'])
const step = (name, act) => ({ name, title: name, done: async () => undefined, do: act })
setInterval(() => {}, 1000)
await carryOutSetup('setup', [
  step('packages', async () => 'installed'),
  step('share', () => { process.kill(process.pid, 'SIGINT'); return new Promise(() => {}) }),
  step('crontab', async () => 'written'),
], {})`

test('Ctrl-C in a set-up says what is in place, what is not, and how to go on', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code])
  const [said, [, signal]] = await Promise.all([text(child.stderr), once(child, 'close')])
  expect(signal).toBe('SIGINT')
  expect(said.trim()).toBe(
    'setup: interrupted. In place: packages. Not done: share, crontab.\n' +
      'To go on (every step may be repeated): comfyume-backup setup mello --user root',
  )
})
