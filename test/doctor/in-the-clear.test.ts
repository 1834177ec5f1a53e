import { expect, test } from 'vitest'
import { isInTheClear } from '../../lib/doctor/machine.ts'

test.each([
  ['https://example.org', false],
  ['http://example.org', true],
  ['http://minio:9000', true],
  ['http://10.0.0.7', true],
  ['http://192.168.1.2:9000', true],
  ['http://[fd00::1]:9000', true],
  ['http://127.0.0.1:9000', false],
  ['http://[::1]:9000', false],
  ['http://localhost:9000', false],
  ['http://minio.localhost', false],
  ['http://localhost.example.org', true],
  ['http://127.example.org', true],
  ['http://100.89.38.43', false],
  ['http://100.128.0.1', true],
  ['http://mello.tail1234.ts.net', false],
  ['ssh://git@example.org/x.git', false],
  ['git@example.org:x.git', false],
])('%s: %s', (address, expected) => {
  expect(isInTheClear(address)).toBe(expected)
})
