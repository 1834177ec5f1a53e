/**
 * Why the text of a `tailscaled.state` is no identity that this machine could have; undefined when it is one. tailscaled itself would start with each of
 * these all the same, as somebody new or as nobody.
 */
export function whyNoIdentity(text: string): string | undefined {
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch {
    return 'its tailscaled.state is empty or cut short'
  }
  if (typeof state !== 'object' || state === null || Array.isArray(state))
    return 'its tailscaled.state is no state of tailscaled'
  const has = (name: string) => Boolean((state as Record<string, unknown>)[name])
  if (has('nonce') && has('data')) return sealed
  // Of before 2022 is `_daemon`.
  const loggedOut = has('_machinekey') && !has('_current-profile') && !has('_daemon')
  if (loggedOut || Object.keys(state).length === 0)
    return 'its tailscaled.state holds no identity: nobody was logged in when it was backed up'
  return undefined
}

const sealed =
  'its tailscaled.state is sealed with the TPM of the machine that it came from, and no other one can read it. If there is no older copy, log in anew ' +
  '(tailscale up --ssh=false) and give this machine the expected address in the admin console; switch sealing off for the next backup (tailscaled --encrypt-state=false)'
