import { expect, test } from 'vitest'
import { matcher } from '../../lib/capture/capture.ts'

test.each([
  ['*/package.json', 'opt/comfyume-backup/package.json', true],
  ['*/package.json', 'opt/comfyume-backup/packageXjson', false],
  ['*/package.json', 'opt/package.json/other', false],
  ['*.pem', 'a/b\nc.pem', true],
  ['ssh_host_*_key', 'ssh_host_ed25519_key', true],
  ['ssh_host_*_key', 'ssh_host_ed25519_key.pub', false],
  ['a?c', 'a/c', true],
  ['a?c', 'ac', false],
  ['(a+b)', '(a+b)', true],
  ['(a+b)', 'aab', false],
])('%s and %j: %s', (pattern, name, matches) => {
  expect(matcher(pattern).test(name)).toBe(matches)
})
