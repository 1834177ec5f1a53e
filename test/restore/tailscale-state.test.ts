import { expect, test } from 'vitest'
import { whyNoIdentity } from '../../lib/restore/tailscale-state.ts'

test.each([
  ['of a node', { _machinekey: 'a', '_current-profile': 'b', _profiles: 'c', 'profile-1': 'd' }],
  ['of a node of before 2022', { _machinekey: 'a', _daemon: 'b' }],
])('the state %s is an identity', (_name, state) => {
  expect(whyNoIdentity(JSON.stringify(state))).toBeUndefined()
})

test.each([
  ['nothing', '', 'empty or cut short'],
  ['the half of a state', '{"_machinekey":"cHJ', 'empty or cut short'],
  ['something else', '["a"]', 'no state of tailscaled'],
  ['null', 'null', 'no state of tailscaled'],
  ['a sealed state', '{"key":{},"nonce":"AA","data":"AA"}', 'sealed with the TPM'],
  ['that of a daemon which nobody has logged in', '{}', 'nobody was logged in'],
  ['that of one which was logged out', '{"_machinekey":"a","_current-profile":""}', 'nobody was logged in'],
])('%s is none', (_name, text, why) => {
  expect(whyNoIdentity(text)).toContain(why)
})
