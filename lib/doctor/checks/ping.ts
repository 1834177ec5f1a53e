import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type Finding, ok, warning, wrong } from '../../cli/finding.ts'
import { ping as sendPing } from '../../cli/ping.ts'
import { readCrontab } from '../../crontab.ts'
import type { Checks, Context, Findings } from '../context.ts'
import { isInTheClear } from '../machine.ts'
import { readBackupLine } from './cron.ts'

export const ping: Checks = () => [
  {
    name: 'service',
    what: 'that the service of BACKUP_PING_URL has a check for each line of the crontab; each gets a log entry, which changes no state',
    uses: ['BACKUP_PING_URL'],
    check: checkService,
  },
]

async function checkService(context: Context): Promise<Findings> {
  const url = context.settings.pingUrl?.reveal()
  const pinged = await pingedLines(context)
  if (url === undefined)
    return warning(
      'BACKUP_PING_URL is not set: failed and missed backups are not reported',
      `create these checks at healthchecks.io (or a server like it), and set BACKUP_PING_URL to the address that they share: ${pinged.map(({ check }) => check).join(', ')}`,
    )
  const asked = await Promise.all(pinged.map((line) => askFor(url, line)))
  if (!isInTheClear(url)) return asked
  const found = 'uses plain http: anyone in between can read the address, and ping instead of this machine'
  return [warning(found, 'use an https:// address in BACKUP_PING_URL'), ...asked]
}

/** Asks for each check by name: a missing one would only show when a run fails. */
async function askFor(url: string, { check, title }: Pinged): Promise<Finding> {
  const problem = await sendPing(url, check, 'log', 'doctor asks whether this check exists')
  if (problem === undefined) return ok(`${title} pings it, and the service knows it`, check)
  return wrong(
    `${problem}. Failures of ${title} will not be reported`,
    'see BACKUP_PING_URL and README.md',
    check,
  )
}

/** The installed crontab's lines that ping; if it has none of ours, those of the toolkit's own crontab. */
async function pingedLines({ here, on, toolkit }: Context): Promise<Pinged[]> {
  const installed = await here.$`crontab -l`
  const own = await readFile(path.join(toolkit, 'crontab', on), 'utf8')
  const [first = [], second = []] = [installed.stdout, own].map((text) =>
    readCrontab(text).lines.flatMap((line) => {
      const { check, title = '' } = readBackupLine(line) ?? {}
      return check === undefined ? [] : { check, title }
    }),
  )
  return first.length > 0 ? first : second
}

/** The check that a line pings, and the command that it runs. */
interface Pinged {
  check: string
  title: string
}
