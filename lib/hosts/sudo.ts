/** Never asks: with `-n`, a password that would be needed is an error. */
export const SUDO = ['sudo', '-n', '--']

/** What to do when sudo did not start bash for this user. */
export function sudoAdvice(user: string): string {
  return [
    `Backups read files that only root may read. Let ${user} become root there without a password: as root, run`,
    '  visudo -f /etc/sudoers.d/comfyume-backup',
    'and give that file this one line (and install the package sudo, should it not be there):',
    `  ${user} ALL=(root) NOPASSWD: /usr/bin/bash`,
  ].join('\n')
}
