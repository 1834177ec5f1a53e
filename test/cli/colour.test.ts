import { expect, it } from 'vitest'
import { coloured } from '../../lib/cli/output.ts'

const line =
  '2026-11-24T10:00:00Z FAILED env -> sfs: stored nothing\n    OK is no verdict here\nOK backup-cron\n'
const painted =
  '2026-11-24T10:00:00Z \u001B[31mFAILED\u001B[39m env -> sfs: stored nothing\n    OK is no verdict here\n\u001B[32mOK\u001B[39m backup-cron\n'

it.each([
  ['a terminal', true, {}, painted],
  ['a file', undefined, {}, line],
  ['a terminal, with NO_COLOR', true, { NO_COLOR: '1', FORCE_COLOR: '1' }, line],
  ['a terminal, with FORCE_COLOR=0', true, { FORCE_COLOR: '0' }, line],
  ['a terminal that knows none', true, { TERM: 'dumb' }, line],
  ['a pipe, with FORCE_COLOR', undefined, { FORCE_COLOR: '1' }, painted],
])('on %s', (_, isTTY, environment, expected) => {
  let written = ''
  const out = {
    isTTY,
    write(text: string) {
      written += text
    },
  }
  coloured(out, environment).write(line)
  expect(written).toBe(expected)
})
