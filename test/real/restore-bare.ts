import { readFileSync } from 'node:fs'
import path from 'node:path'
import { differences, type Stock } from '../../lib/demo/stock.ts'
import { leftOut, usersData } from '../../lib/demo/verda.ts'
import type { BareMachine } from '../servers/bare-machine.ts'
import { images, type LostVerda, restoredPaths } from './lost-verda.ts'
import { address, shareAddress } from './lost-verda-scripts.ts'
import { stockOf } from './machine-stock.ts'
import { toolkitFolder } from './toolkit.ts'

/** The commands of the README's page for a new instance, as they stand there. */
export const [mountShare, unpackToolkit, restoreAll] = readmeCommands() as [string, string, string]

function readmeCommands(): string[] {
  const readme = readFileSync(path.resolve(import.meta.dirname, '../../README.md'), 'utf8')
  const [, commands = ''] = /^## On a new instance\n.*?^ *```sh\n(.*?)^ *```/ms.exec(readme) ?? []
  return commands
    .trim()
    .split('\n')
    .map((line) => line.trim())
}

/** restore with other flags, by the path that the README gives. */
export const restore = (flags = '') => restoreAll.replace(/ --full$/, ` ${flags}`)

/** Folders of the users and their password file come from elsewhere, and were not on Verda. */
const fromElsewhere = [usersData, `${path.dirname(usersData)}/nginx/.htpasswd`]

/**
 * Each way in which the machine is not what Verda was: all files that were backed up, and what no archive holds: daemons, firewall, user, images, crontab. Nothing is
 * said of what a new machine has besides.
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

/** ufw writes its own files anew when it is switched off and on, or told what is true already; others, and tests, put files into the folders. */
function atRest(stock: Stock): Stock {
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
  ['firewall', '22/tcp 41641/udp 80/tcp 443/tcp 8188'],
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

/** Answers as `what=is`, with a zero byte behind each. */
const questions = `
answer() { printf '%s=%s\\0' "$1" "$(cat)"; }
tailscale ip -4 | answer address
{ systemctl is-enabled tailscaled; systemctl is-active tailscaled; } | paste -sd ' ' | answer tailscaled
ufw status | grep -v v6 | grep ALLOW | cut -d ' ' -f 1 | paste -sd ' ' | answer firewall
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

/** Scratch folders, partial files and mounts that a restore made for itself. */
async function leftBehind(machine: BareMachine): Promise<string[]> {
  const found = await machine.do(`
    find /etc /home /mnt /opt /root /srv /tmp /var -xdev -name node_modules -prune -o \\( -name '.comfyume-restore-*' -o -name 'comfyume-restore-*' -o -name '*.partial' -o -name 'fstab.comfyume*' \\) -print
    findmnt --raw --noheadings --output TARGET | grep -i comfyume || true`)
  return found
    .split('\n')
    .filter(Boolean)
    .map((name) => `${name} was left behind`)
}

/** The share's line for a reboot. */
export const fstabLine = `${shareAddress} /mnt/sfs nfs rw,hard,nofail,_netdev 0 0`

/** Where in the machine's calls the first one is that begins so. */
export function callOf(machine: BareMachine, beginning: string): number {
  const at = machine.calls().findIndex((call) => call.startsWith(beginning))
  if (at === -1) throw new Error(`nobody called ${beginning}: ${machine.calls().join('\n')}`)
  return at
}

/** What a whole restore changes on a machine, to compare two moments; what is always going on is left out. */
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
    // The marker was in it for the time of the run.
    alone: ['/var/lib/comfyume-backup'],
  })
}
