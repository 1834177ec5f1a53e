import { expect, test } from 'vitest'
import { complaint } from '../../lib/capture/capture.ts'

test.each([
  ['the last line that was printed', 'first\nno such file\n', [1, 0], 'no such file'],
  [
    'not tar’s own last words',
    'tar: x: cannot open\ntar: Exiting with failure status\n',
    [2, 0],
    'tar: x: cannot open',
  ],
  ['the exit codes when nothing was printed', '', [3, 0], 'exit codes 3 0'],
  [
    'that a process was killed, whatever the shell printed of it',
    'bash: line 9: 42 Killed tar',
    [137, 0],
    'signal 9',
  ],
  ['the one that was killed, not the pipe that broke with it', '', [141, 137], 'signal 9'],
  ['as a code what would steer a terminal', 'tar: \u001b[2Jx\r\n', [2, 0], 'tar: \\u001b[2Jx'],
  ['what was said of a broken pipe, when nobody was killed', 'gzip: no room\n', [141, 1], 'gzip: no room'],
])('says %s', (_, stderr, exitCodes, expected) => {
  expect(complaint({ stderr, exitCodes })).toContain(expected)
})
