import { HostError } from './host.ts'

interface Where {
  name: string
  destination: string
}

/** What ssh's own complaint means, and what to do next. */
export function sshFailure(where: Where, said: string): HostError {
  const [, meaning] = CAUSES.find(([pattern]) => pattern.test(said)) ?? []
  const text =
    meaning?.(where, said) ??
    `the connection was lost or never made. Try by hand: ssh ${where.destination} true`
  return new HostError(`${where.name}: ${text}\nssh said: ${said || 'nothing'}`)
}

/** The first that fits: a changed key also ends in "verification failed". The patterns are OpenSSH's wording. */
const CAUSES: [RegExp, (where: Where, said: string) => string][] = [
  [
    /HOST IDENTIFICATION HAS CHANGED|host key for .* has changed/i,
    (_, said) =>
      `its host key is not the one known here. After a restore this means that the ssh host keys were not put back; else somebody ` +
      `else may be answering. Compare on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, and here: ${scan(said)} | ssh-keygen -lf -. ` +
      'Only when both are the same, take the old key out of known_hosts (the file and line are named below) and add the new one',
  ],
  [
    /host key is known for|Host key verification failed/i,
    ({ destination }, said) =>
      `its host key is not known here, and is never taken unseen. See it: ${scan(said)} | ssh-keygen -lf -, compare with its console: ` +
      `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; when both are the same: ${scan(said)} >> ~/.ssh/known_hosts, then: ssh ${destination} true`,
  ],
  [
    /Could not resolve hostname/i,
    ({ destination }) =>
      `no machine of that name is known. Check VERDA_SSH (${destination}), the Host entry in ~/.ssh/config, and tailscale status`,
  ],
  [
    /Connection refused/i,
    () =>
      'the machine answers but no ssh server listens there. Check the port, and on its console: systemctl status ssh',
  ],
  [
    /timed out|timeout|No route to host|Network is unreachable/i,
    () =>
      'it cannot be reached. Is the instance running (console), is tailscale up on both sides (tailscale status), does ufw let ssh in?',
  ],
  [
    /Permission denied|Too many authentication failures/i,
    ({ destination }) =>
      `it accepts none of our keys. Check with: ssh -o BatchMode=yes ${destination} true; the keys here: ssh-add -l, ~/.ssh/config (IdentityFile), ` +
      'and there: ~/.ssh/authorized_keys. From cron there is no agent: name a key file in ~/.ssh/config',
  ],
]

/** ssh names the machine as `host` or `[host]:port`. */
function scan(said: string): string {
  const [, host, port] =
    /host key (?:is known )?for \[?([^\s\]]+?)\]?(?::(\d+))? (?:and|has)/i.exec(said) ?? []
  return `ssh-keyscan -t ed25519 ${port ? `-p ${port} ` : ''}${host ?? '<its address>'}`
}
