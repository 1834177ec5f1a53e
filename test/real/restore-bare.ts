import { readFileSync } from 'node:fs'
import path from 'node:path'
import { differences, type Stock } from '../../demo/stock.ts'
import { leftOut, usersData } from '../../demo/verda.ts'
import type { BareMachine } from '../servers/bare-machine.ts'
import { images, type LostVerda, restoredPaths } from './lost-verda.ts'
import { address, shareAddress } from './lost-verda-scripts.ts'
import { stockOf } from './machine-stock.ts'
import { toolkitFolder } from './toolkit.ts'

/** The commands of the page for a new instance, exactly as printed. */
export const [mountShare, unpackToolkit, restoreAll] = pageCommands() as [string, string, string]

function pageCommands(): string[] {
  const page = readFileSync(path.resolve(import.meta.dirname, '../../docs/restore.md'), 'utf8')
  const [, commands = ''] = /^## Everything, on a new instance\n.*?^ *```sh\n(.*?)^ *```/ms.exec(page) ?? []
  return commands
    .trim()
    .split('\n')
    .map((line) => line.trim())
}

/** restore with other flags, by the README's path. */
export const restore = (flags = '') => restoreAll.replace(/ --full$/, ` ${flags}`)
export const backUp = (flags = '') => restoreAll.replace(/ restore --full$/, ` backup-cron ${flags}`)

/** The users' folders and password file come from elsewhere, and were not on Verda. */
export const fromElsewhere = [usersData, `${path.dirname(usersData)}/nginx/.htpasswd`]

/**
 * Every difference from the lost Verda: all backed-up files, and what no archive holds (daemons, firewall,
 * user, images, crontab). Ignores what a new machine has besides.
 */
export async function whatIsWrong(machine: BareMachine, world: LostVerda): Promise<string[]> {
  const after = await stockOf(machine, restoredPaths, { whole: [...leftOut, ...fromElsewhere] })
  const files = differences(atRest(world.before), atRest(after))
  const said = await machine.run(['bash', '--norc', '-c', questions])
  const state = differences(
    new Map(expected.map(([what, is]) => [what, { is }])),
    new Map(
      said.stdout
        .split('\0')
        .slice(0, -1)
        .map((answer) => {
          const [what = '', ...is] = answer.split('=')
          return [what, { is: is.join('=').trim() }]
        }),
    ),
  )
  return [...files, ...state, ...(await leftBehind(machine))]
}

/** ufw rewrites its files when it is turned off and on; other programs and tests add files to the folders. */
export function atRest(stock: Stock): Stock {
  const copy = new Map([...stock].map(([name, facts]) => [name, { ...facts }]))
  for (const name of [
    '/etc/ssh',
    '/etc/ufw',
    '/root',
    '/etc/ufw/user.rules',
    '/etc/ufw/user6.rules',
    '/etc/ufw/ufw.conf',
    `${path.dirname(usersData)}`,
    `${path.dirname(usersData)}/nginx`,
  ]) {
    const facts = copy.get(name)
    if (facts) delete facts['time of change']
  }
  return copy
}

const expected: [string, string][] = [
  ['address', address],
  ['tailscaled', 'enabled active'],
  [
    'firewall',
    'allow from 100.64.0.0/10 to any port 22;allow 443/tcp;allow from 100.64.0.0/10 to any port 8188;Status: active',
  ],
  ['jails', 'comfyume, sshd'],
  ['retries', '3'],
  ['user', 'dev:1000:1000:/home/dev:/usr/bin/zsh'],
  ['groups', 'dev docker sudo'],
  ['host keys', 'the same'],
  ['key modes', '600 600 600'],
  ['images', images.toSorted().join(' ')],
  ['crontab', 'once'],
  ['marker', 'none'],
]

/** Answers as `what=is`, each ended by a zero byte. */
const questions = `
answer() { printf '%s=%s\\0' "$1" "$(cat)"; }
tailscale ip -4 | answer address
{ systemctl is-enabled tailscaled; systemctl is-active tailscaled; } | paste -sd ' ' | answer tailscaled
{ ufw show added | sed -n 's/^ufw //p'; ufw status | head -n 1; } | paste -sd ';' | answer firewall
fail2ban-client status | sed -n 's/.*Jail list:[[:space:]]*//p' | answer jails
fail2ban-client get sshd maxretry | answer retries
getent passwd dev | cut -d : -f 1,3,4,6,7 | answer user
id -nG dev | tr ' ' '\\n' | sort | paste -sd ' ' | answer groups
seen=$(ssh-keyscan -t ed25519 127.0.0.1 2>/dev/null | cut -d ' ' -f 3)
[[ -n $seen && $seen == "$(cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub)" ]] && echo the same | answer 'host keys' || echo others | answer 'host keys'
stat -c %a /etc/ssh/ssh_host_*_key | paste -sd ' ' | answer 'key modes'
docker image ls --format '{{.Repository}}' | sort | paste -sd ' ' | answer images
case $(crontab -l 2>/dev/null | grep -c 'backup-cron.ts --only containers') in 0) echo not at all ;; 1) echo once ;; *) echo more than once ;; esac | answer crontab
[[ -e /var/lib/comfyume-backup/restoring ]] && cat /var/lib/comfyume-backup/restoring | answer marker || echo none | answer marker
`

/** Scratch folders, partial files and mounts that a restore left behind. */
async function leftBehind(machine: BareMachine): Promise<string[]> {
  const found = await machine.do(`
    find /etc /home /mnt /opt /root /srv /tmp /var -xdev -name node_modules -prune -o \\( -name '.comfyume-restore-*' -o -name 'comfyume-restore-*' -o -name '*.partial' -o -name 'fstab.comfyume*' \\) -print
    findmnt --raw --noheadings --output TARGET | grep -i comfyume || true`)
  return found
    .split('\n')
    .filter(Boolean)
    .map((name) => `${name} was left behind`)
}

/** The share's line in fstab. */
export const fstabLine = `${shareAddress} /mnt/sfs nfs rw,hard,nofail,_netdev 0 0`

/** The index of the machine's first call that starts like this. */
export function callOf(machine: BareMachine, beginning: string): number {
  const at = machine.calls().findIndex((call) => call.startsWith(beginning))
  if (at === -1) throw new Error(`nobody called ${beginning}: ${machine.calls().join('\n')}`)
  return at
}

/** What a whole restore changes on a machine, without what always changes, to compare two moments. */
export function stockOfAll(machine: BareMachine): Promise<Stock> {
  return stockOf(machine, ['/etc', '/home', '/opt', '/root', '/srv', '/usr/local', '/var', '/mnt'], {
    whole: [
      '/var/log',
      '/var/lib/shims/calls',
      '/var/lib/fail2ban',
      '/usr/local/lib/shims',
      '/srv/git',
      toolkitFolder,
    ],
    // It held the marker during the run.
    alone: ['/var/lib/comfyume-backup'],
  })
}
