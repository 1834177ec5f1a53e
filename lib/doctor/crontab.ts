import { backupFlags } from '../cli/backup-manual.ts'
import { listOf, parseFlags } from '../cli/flags.ts'
import type { CommandName } from '../inventory.ts'
import { messageOf } from '../message.ts'
import { selectItems } from '../select.ts'

export interface CronLine {
  /** Five fields, or `@hourly`. */
  schedule: string
  command: string
}

export interface Crontab {
  variables: Record<string, string>
  lines: CronLine[]
}

/** Reads a user's crontab as cron does, passing over what cron would refuse. Pure. */
export function readCrontab(text: string): Crontab {
  const crontab: Crontab = { variables: {}, lines: [] }
  for (const raw of text.split('\n')) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#')) continue
    const [, name, value = ''] = /^([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(line) ?? []
    if (name !== undefined) crontab.variables[name] = value.replace(/^(["'])(.*)\1$/, '$2')
    const [, schedule, command] =
      /^(@\w+|(?:[\d*][\d*,/-]*\s+){2}(?:\S+\s+){2}\S+)\s+(\S.*)$/.exec(line) ?? []
    if (name === undefined && schedule !== undefined && command !== undefined)
      crontab.lines.push({ schedule, command })
  }
  return crontab
}

/** A line that runs a backup command of this toolkit. */
export interface BackupLine extends CronLine {
  /** `backup-cron --only containers`: the command and its flags. */
  title: string
  /** What it backs up, as `item -> store`; empty when its flags are refused. */
  covers: string[]
  /** Why the command would refuse its flags. */
  refused?: string
  /** The first word, by which the shell starts it. */
  program: string
  /** Absolute paths of scripts and of what runs them, the program's not. */
  paths: string[]
  /** Where its output goes, if into a file. */
  log?: string
}

/** Undefined for a line that is none of this toolkit's backups. Pure. */
export function readBackupLine(line: CronLine): BackupLine | undefined {
  const [, name, rest = ''] =
    /(?:^|[\s/])scripts\/(backup-(?:cron|verda|mello))\.ts((?:\s[^>|;&]*)?)/.exec(line.command) ?? []
  if (name === undefined) return undefined
  const flags = rest.trim().split(/\s+/).filter(Boolean)
  const log = />>?\s*(\/[^\s;&|]+)/.exec(line.command)?.[1]
  // Variables before the program are its environment, and may be secrets.
  const [program = '', ...words] = (line.command.split(/[>|;&]/)[0] ?? '')
    .replace(/^(?:\s*[A-Za-z_]\w*=\S*)+/, '')
    .trim()
    .split(/\s+/)
  const read = coverage(name as CommandName, flags)
  return {
    ...line,
    title: [name, ...flags].join(' '),
    program,
    paths: words.filter((word) => /^\/.*(?:\.ts|\/tsx|\/node)$/.test(word)),
    ...read,
    ...(log !== undefined && { log }),
  }
}

/** `item -> store` for everything that a command with these flags backs up. */
function coverage(command: CommandName, argv: readonly string[]): Pick<BackupLine, 'covers' | 'refused'> {
  try {
    const flags = parseFlags(argv, backupFlags)
    if (flags['dry-run'] || flags.help) return { covers: [], refused: 'it does nothing, with that flag' }
    const [only, to] = [listOf(flags.only), listOf(flags.to)]
    const request = { command, quick: flags.quick === true, ...(only && { only }), ...(to && { to }) }
    const selected = selectItems(request).filter(({ leftOut }) => leftOut === undefined)
    return {
      covers: selected.flatMap(({ item, stores }) =>
        (stores.length > 0 ? stores : ['git']).map((store) => `${item.name} -> ${store}`),
      ),
    }
  } catch (error) {
    return { covers: [], refused: messageOf(error) }
  }
}
