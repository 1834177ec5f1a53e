import { HostError } from './host.ts'

interface Where {
  name: string
  destination: string
}

/** Translates ssh's error output into a cause and a next step. */
export function sshFailure(where: Where, said: string): HostError {
  const [, meaning] = CAUSES.find(([pattern]) => pattern.test(said)) ?? []
  const text =
    meaning?.(where, said) ??
    `the connection was lost or never made. Try by hand: ssh ${where.destination} true`
  return new HostError(`${where.name}: ${text}\nssh said: ${said || 'nothing'}`)
}

/** The first match wins: a changed key also says "verification failed". The patterns are OpenSSH's texts. */
const CAUSES: [RegExp, (where: Where, said: string) => string][] = [
  [
    /HOST IDENTIFICATION HAS CHANGED|host key for .* has changed/i,
    (_, said) =>
      `its host key is not the one known here. After a restore this means that the ssh host keys were not restored. Otherwise another ` +
      `machine may be answering. Compare on its console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub, and here: ${scan(said)} | ssh-keygen -lf -. ` +
      'Only if they match, remove the old key from known_hosts (the file and line are named below) and add the new one',
  ],
  [
    /host key is known for|Host key verification failed/i,
    ({ destination }, said) =>
      `its host key is not known here, and none is accepted unseen. Show it: ${scan(said)} | ssh-keygen -lf -, compare with its console: ` +
      `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub; if they match: ${scan(said)} >> ~/.ssh/known_hosts, then: ssh ${destination} true`,
  ],
  [
    /Could not resolve hostname/i,
    ({ destination }) =>
      `no machine of that name is known. Check VERDA_SSH (${destination}), the Host entry in ~/.ssh/config, and tailscale status`,
  ],
  [
    /Connection refused/i,
    () =>
      'the machine answers, but no ssh server is listening. Check the port, and on its console: systemctl status ssh',
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

/** ssh writes the machine as `host` or `[host]:port`. */
function scan(said: string): string {
  const [, host, port] =
    /host key (?:is known )?for \[?([^\s\]]+?)\]?(?::(\d+))? (?:and|has)/i.exec(said) ?? []
  return `ssh-keyscan -t ed25519 ${port ? `-p ${port} ` : ''}${host ?? '<its address>'}`
}
