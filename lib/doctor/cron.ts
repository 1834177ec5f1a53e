import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type Check, type Finding, NotChecked, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { type BackupLine, type Crontab, readBackupLine, readCrontab } from './crontab.ts'
import { isAtLeast } from './tools.ts'

export const cronChecks: readonly Check[] = [
  {
    group: 'cron',
    name: 'daemon',
    what: 'that cron runs',
    check: checkDaemon,
  },
  {
    group: 'cron',
    name: 'crontab',
    what: "this user's crontab: the backups of the project's own, and whether each of its lines can run",
    check: checkCrontab,
  },
]

async function checkDaemon({ here }: Context): Promise<Finding[]> {
  const { exitCodes } = await here.run(daemonScript, [], { timeout: 20 })
  if (exitCodes[0] === 0) return [ok('runs')]
  return [
    wrong(
      'does not run: nothing is backed up by the clock',
      'systemctl enable --now cron (apt-get install cron)',
    ),
  ]
}

/** Where /proc hides what belongs to others, systemd knows it. */
const daemonScript = `
pgrep -x 'cron|crond' >/dev/null || systemctl is-active --quiet cron || systemctl is-active --quiet crond
`

async function checkCrontab({ here, on, toolkit, settings }: Context): Promise<Finding[]> {
  const ours = path.join(toolkit, 'crontab', on)
  const { stdout, stderr, exitCodes } = await here.run('crontab -l', [], { timeout: 20 })
  if (exitCodes[0] === 127)
    return [wrong('there is no command crontab', `apt-get install cron, then crontab ${ours}`)]
  if (exitCodes[0] !== 0 && !/no crontab/i.test(stderr))
    throw new NotChecked(`crontab -l says: ${stderr.trim()}`, 'see why this user may not have a crontab')
  const installed = readCrontab(stdout.toString())
  const wanted = readCrontab((await readFile(ours, 'utf8')).replaceAll('/opt/comfyume-backup', toolkit))
  const lines = installed.lines.flatMap((line) => readBackupLine(line) ?? [])
  if (lines.length === 0)
    return [wrong('has no line of this toolkit: nothing is backed up by the clock', `crontab ${ours}`)]

  const able = await Promise.all(lines.map((line) => judgeLine(line, installed, here, toolkit)))
  return [
    ok(`has ${lines.length} backup lines`),
    ...(await judgeNode(installed, here, toolkit)),
    ...able,
    ...judgeMissing(wanted, lines, ours, settings),
    ...judgeOthers(installed, wanted, ours),
  ]
}

/** What the project's own crontab backs up and no installed line does. How it is cut into lines, and when they run, is the operator's own. */
function judgeMissing(
  wanted: Crontab,
  lines: readonly BackupLine[],
  file: string,
  settings: Context['settings'],
): Finding[] {
  const isUsed = (one: string) => settings.hetzner !== undefined || !one.endsWith(' -> hetzner')
  const covered = new Set(lines.flatMap(({ covers }) => covers))
  return wanted.lines
    .flatMap((line) => readBackupLine(line) ?? [])
    .flatMap(({ title, covers }) => {
      const missing = covers.filter((one) => !covered.has(one) && isUsed(one))
      if (missing.length === 0) return []
      return [
        wrong(
          `is not installed: by the clock nothing brings ${coverageInWords(missing)}`,
          `add that line of ${file} with crontab -e, or take all of it: crontab ${file}`,
          title,
        ),
      ]
    })
}

/** `a -> r2`, `a -> hetzner`, `b -> r2`, `b -> hetzner`: `a, b to r2 and hetzner`. */
function coverageInWords(pairs: readonly string[]): string {
  const storesOf = new Map<string, string[]>()
  for (const [item = '', store = ''] of pairs.map((pair) => pair.split(' -> ')))
    storesOf.set(item, [...(storesOf.get(item) ?? []), store])
  const itemsTo = new Map<string, string[]>()
  for (const [item, stores] of storesOf) {
    const to = stores.join(' and ')
    itemsTo.set(to, [...(itemsTo.get(to) ?? []), item])
  }
  return [...itemsTo].map(([to, items]) => `${items.join(', ')} to ${to}`).join('; ')
}

function judgeOthers(installed: Crontab, wanted: Crontab, file: string): Finding[] {
  const old = installed.lines.flatMap(
    ({ command }) => /[\w-]*backup-(?:cron|verda|mello)\.sh/.exec(command)?.[0] ?? [],
  )
  const keepsLog = ({ lines }: Crontab) =>
    lines.some(({ command }) => /\.log\b.*-size|logrotate/.test(command))
  return [
    ...old.map((script) =>
      warning('the old script is still run by cron', 'take its line out: crontab -e', script),
    ),
    ...(keepsLog(wanted) && !keepsLog(installed)
      ? [
          warning(
            'no line keeps the log from growing for ever',
            `add the last line of ${file}, unless logrotate does that`,
            'log',
          ),
        ]
      : []),
  ]
}

async function judgeLine(
  line: BackupLine,
  { variables }: Crontab,
  here: Context['here'],
  toolkit: string,
): Promise<Finding> {
  const again = `correct the line with crontab -e; see ${toolkit}/crontab`
  if (line.refused !== undefined) return wrong(`(${line.schedule}) fails: ${line.refused}`, again, line.title)
  const args = [searchPath(variables), line.log ?? '', line.program, ...line.paths]
  const { stdout } = await here.run(lineScript, args, { timeout: 20 })
  const problems = stdout.toString().trimEnd()
  if (problems !== '')
    return wrong(`(${line.schedule}) fails: ${problems.replaceAll('\n', '; ')}`, again, line.title)
  if (line.log === undefined)
    return warning(
      `(${line.schedule}) writes no log: what fails is not seen`,
      'end the line with >>/a/file.log 2>&1',
      line.title,
    )
  return ok(`(${line.schedule}) its files are there, and ${line.log} can be written`, line.title)
}

/** Arguments: cron's PATH, the log or nothing, the program, the paths. With nothing but what bash has built in. */
const lineScript = `
PATH=$1 log=$2 program=$3
shift 3
case $program in
  /*)
    if [[ ! -e $program ]]; then echo "$program is not there"
    elif [[ ! -x $program ]]; then echo "$program is not executable"; fi ;;
  *) command -v -- "$program" >/dev/null || echo "$program is not in cron's PATH" ;;
esac
for file in "$@"; do [[ -e $file ]] || echo "$file is not there"; done
if [[ -n $log ]]; then
  if [[ -e $log ]]; then [[ -w $log && ! -d $log ]] || echo "$log cannot be written"
  elif [[ ! -d \${log%/*}/ || ! -w \${log%/*}/ ]]; then echo "$log cannot be made"; fi
fi
`

/** tsx is started by whichever node comes first in cron's PATH, which is not that of a login. */
async function judgeNode({ variables }: Crontab, here: Context['here'], toolkit: string): Promise<Finding[]> {
  const search = searchPath(variables)
  const script = 'PATH=$1; node=$(command -v node) && echo "$("$node" --version) $node"'
  const { stdout } = await here.run(script, [search], { timeout: 20 })
  const [version = '', at = ''] = stdout.toString().trim().split(' ')
  const todo = `install -D "$(command -v node)" ${toolkit}/bin/node, and begin the crontab with PATH=${toolkit}/bin:/usr/local/bin:/usr/bin:/bin`
  if (version === '') return [wrong(`no node in cron's PATH (${search}): every line fails`, todo, 'node')]
  if (!isAtLeast(version.slice(1), [20, 19]))
    return [wrong(`cron's PATH leads to ${at}, which is ${version}: too old`, todo, 'node')]
  return [ok(`cron's PATH leads to ${at}, ${version}`, 'node')]
}

/** Without a PATH of its own, a crontab has that of Debian's cron. */
function searchPath({ PATH = '/usr/bin:/bin' }: Record<string, string>): string {
  return PATH
}
