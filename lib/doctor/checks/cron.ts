import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { backupCheck, backupFlags } from '../../backup/flags.ts'
import { type Request, selectItems } from '../../backup/select.ts'
import { type Finding, ok, warning, wrong } from '../../cli/finding.ts'
import { parseFlags } from '../../cli/flags.ts'
import {
  type CronLine,
  type Crontab,
  nextTime,
  readCrontab,
  type ToolkitRun,
  toolkitRun,
} from '../../crontab.ts'
import { commandSeconds } from '../../hosts/host.ts'
import { isCommand } from '../../inventory.ts'
import { groupBy, messageOf } from '../../text.ts'
import { verifyCheck, verifyFlags } from '../../verify/flags.ts'
import type { Checks, Context, Findings } from '../context.ts'
import { isAtLeast } from './tools.ts'

export const cron: Checks = () => [
  { name: 'daemon', what: 'that cron runs', check: checkDaemon },
  {
    name: 'crontab',
    what: "this user's crontab: whether it has the toolkit's lines, and whether each can run",
    check: checkCrontab,
  },
]

async function checkDaemon({ here }: Context): Promise<Findings> {
  const { exitCodes } = await here.run(daemonScript, [], { timeout: commandSeconds })
  if (exitCodes[0] === 0) return ok('runs')
  return wrong(
    'does not run: no backup is made on schedule',
    'systemctl enable --now cron (apt-get install cron)',
  )
}

/** Asks systemd too, because /proc may hide other users' processes. */
const daemonScript = `
pgrep -x 'cron|crond' >/dev/null || systemctl is-active --quiet cron || systemctl is-active --quiet crond
`

async function checkCrontab({ here, on, toolkit, settings }: Context): Promise<Findings> {
  const ours = path.join(toolkit, 'crontab', on)
  const { stdout, stderr, exitCode } = await here.$`crontab -l`
  if (exitCode === 127)
    return wrong('the command crontab is missing', `apt-get install cron, then crontab ${ours}`)
  // The exit code is the same for an empty crontab and a forbidden one.
  if (exitCode !== 0 && !/no crontab/i.test(stderr))
    return wrong(
      `crontab -l failed: ${stderr.trim()}`,
      'find out why this user may not use crontab (/etc/cron.allow, /etc/cron.deny)',
    )
  const installed = readCrontab(stdout)
  const wanted = readCrontab((await readFile(ours, 'utf8')).replaceAll('/opt/comfyume-backup', toolkit))
  const lines = installed.lines.flatMap((line) => readBackupLine(line) ?? [])
  if (lines.length === 0)
    return wrong('has no line of this toolkit: no backup is made on schedule', `crontab ${ours}`)

  const able = await Promise.all(lines.map((line) => judgeLine(line, installed, here, toolkit)))
  return [
    ok(`has ${lines.length} lines of this toolkit`),
    await judgeNode(installed, here, toolkit),
    ...able,
    ...judgeMissing(wanted, lines, ours, settings),
    ...judgeOthers(installed, wanted, ours),
  ]
}

/** What the toolkit's crontab backs up and no installed line does. Lines and times may differ. */
function judgeMissing(
  wanted: Crontab,
  lines: readonly BackupLine[],
  file: string,
  settings: Context['settings'],
): Finding[] {
  const isCovered = ({ item, store }: Covered) =>
    lines.some(({ covers }) => covers.some((one) => one.item === item && one.store === store))
  return wanted.lines
    .flatMap((line) => readBackupLine(line) ?? [])
    .flatMap(({ title, covers }) => {
      const used = covers.filter(({ store }) => store !== 'hetzner' || settings.hetzner !== undefined)
      const missing = used.filter((one) => !isCovered(one))
      if (missing.length === 0) return []
      const lost = title.startsWith('verify') ? 'reads archives back' : `backs up ${coverageInWords(missing)}`
      return wrong(
        `is not installed: no line ${lost}`,
        `add that line of ${file} with crontab -e, or install all of it: crontab ${file}`,
        title,
      )
    })
}

/** `a, b to r2 and hetzner; c to sfs`. */
function coverageInWords(covers: readonly Covered[]): string {
  const storesOf = (item: string) => covers.filter((one) => one.item === item).map(({ store }) => store)
  const itemsTo = groupBy(new Set(covers.map(({ item }) => item)), (item) => storesOf(item).join(' and '))
  return [...itemsTo].map(([to, items]) => `${items.join(', ')} to ${to}`).join('; ')
}

function judgeOthers(installed: Crontab, wanted: Crontab, file: string): Finding[] {
  const old = installed.lines.flatMap(
    ({ command }) => /[\w-]*backup-(?:cron|verda|mello)\.sh/.exec(command)?.[0] ?? [],
  )
  const findings = old.map((script) =>
    warning('cron still runs the old script', 'delete its line: crontab -e', script),
  )
  const keepsLog = ({ lines }: Crontab) =>
    lines.some(({ command }) => /\.log\b.*-size|logrotate/.test(command))
  if (keepsLog(installed) || !keepsLog(wanted)) return findings
  const todo = `add the last line of ${file}, unless logrotate does that`
  return [...findings, warning('no line limits the size of the log', todo, 'log')]
}

async function judgeLine(
  line: BackupLine,
  { variables }: Crontab,
  here: Context['here'],
  toolkit: string,
): Promise<Finding> {
  const { schedule, title, log } = line
  const again = `correct the line with crontab -e; see ${toolkit}/crontab`
  if (line.refused !== undefined) return wrong(`(${schedule}) fails: ${line.refused}`, again, title)
  const args = [searchPath(variables), log ?? '', line.program, ...line.paths]
  const { stdout } = await here.run(lineScript, args, { timeout: commandSeconds })
  const problems = stdout.toString().trimEnd()
  if (problems !== '') return wrong(`(${schedule}) fails: ${problems.replaceAll('\n', '; ')}`, again, title)
  if (log !== undefined) return ok(`(${schedule}) its files exist, and ${log} can be written`, title)
  return warning(
    `(${schedule}) writes no log: failures stay unseen`,
    'start the command with: exec >>/a/file.log 2>&1;',
    title,
  )
}

/** Arguments: cron's PATH, the log or '', the program, the paths. Uses only bash builtins. */
const lineScript = `
PATH=$1 log=$2 program=$3
shift 3
case $program in
  /*)
    if [[ ! -e $program ]]; then echo "$program does not exist"
    elif [[ ! -x $program ]]; then echo "$program is not executable"; fi ;;
  *) command -v -- "$program" >/dev/null || echo "$program is not in cron's PATH" ;;
esac
for file in "$@"; do [[ -e $file ]] || echo "$file does not exist"; done
if [[ -n $log ]]; then
  if [[ -e $log ]]; then [[ -w $log && ! -d $log ]] || echo "$log cannot be written"
  elif [[ ! -d \${log%/*}/ || ! -w \${log%/*}/ ]]; then echo "$log cannot be created"; fi
fi
`

/** tsx runs with the first node in cron's PATH, which differs from a login's. */
async function judgeNode({ variables }: Crontab, here: Context['here'], toolkit: string): Promise<Finding> {
  const search = searchPath(variables)
  const script = 'PATH=$1; node=$(command -v node) && echo "$("$node" --version) $node"'
  const { stdout } = await here.run(script, [search], { timeout: commandSeconds })
  const [version = '', at = ''] = stdout.toString().trim().split(' ')
  const todo = `install -D "$(command -v node)" ${toolkit}/bin/node, and start the crontab with PATH=${toolkit}/bin:/usr/local/bin:/usr/bin:/bin`
  if (version === '') return wrong(`no node in cron's PATH (${search}): every line fails`, todo, 'node')
  if (!isAtLeast(version.slice(1), [20, 19]))
    return wrong(`cron's PATH leads to ${at}, which is ${version}: too old`, todo, 'node')
  return ok(`cron's PATH leads to ${at}, ${version}`, 'node')
}

/** A crontab without a PATH gets the one of Debian's cron. */
function searchPath({ PATH = '/usr/bin:/bin' }: Record<string, string>): string {
  return PATH
}

/** An item and a store that a line copies it to. */
interface Covered {
  item: string
  store: string
}

/** A line that runs a backup or verify. */
interface BackupLine extends CronLine, ToolkitRun {
  /** `backup-cron --only containers`: the command and its flags. */
  title: string
  /** The monitoring check that it pings; absent when its flags are refused. */
  check?: string
  /** Empty when the line is refused. */
  covers: Covered[]
  /** Why it backs up nothing. */
  refused?: string
}

/** Undefined when the line is no backup or verify by this toolkit. Pure. */
export function readBackupLine(line: CronLine): BackupLine | undefined {
  const run = toolkitRun(line)
  if (run === undefined || !(isCommand(run.name) || run.name === 'verify')) return undefined
  const { name, argv } = run
  const read: BackupLine = { ...line, ...run, title: [name, ...argv].join(' '), covers: [] }
  read.refused = whyIdle(line, run)
  try {
    if (isCommand(name)) {
      const asked = parseFlags(argv, backupFlags)
      read.check = backupCheck(name, asked)
      const { only, to, quick } = asked
      if (read.refused === undefined) read.covers = coverage({ command: name, only, to, quick })
    } else {
      const asked = parseFlags(argv, verifyFlags)
      read.check = verifyCheck(asked)
      // A drill, or a run for some items, does not read the archives back.
      const readsBack = read.refused === undefined && !asked.drill && !asked.only
      if (readsBack) read.covers = [{ item: 'verify', store: 'all' }]
    }
  } catch (error) {
    read.refused ??= messageOf(error)
  }
  return read
}

function whyIdle({ cut, schedule }: CronLine, { argv }: ToolkitRun): string | undefined {
  if (cut) return 'cron ends the command at the first %: write \\% instead'
  if (nextTime(schedule, new Date()) === undefined) return 'its time never comes'
  const idle = ['--dry-run', '--help'].find((flag) => argv.includes(flag))
  return idle && `with ${idle} it does nothing`
}

/** Throws FlagError. */
function coverage(request: Request): Covered[] {
  return selectItems(request)
    .filter(({ leftOut }) => leftOut === undefined)
    .flatMap(({ item, stores }) =>
      (stores.length > 0 ? stores : ['git']).map((store) => ({ item: item.name, store })),
    )
}
