import { stat } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import { type Finding, ok, warning, wrong } from '../../cli/finding.ts'
import { stepInto, withFile } from '../../files/beneath.ts'
import { commandSeconds, type Host } from '../../hosts/host.ts'
import { type Settings, settingNames } from '../../settings/settings.ts'
import { nearest } from '../../text.ts'
import type { Checks, Context, Findings } from '../context.ts'
import { modeOf, unsafePermissions } from '../machine.ts'

export const settings: Checks = () => [
  {
    name: 'machine',
    what: 'which machine this is taken to be, and why',
    check: ({ on, because }) => ok(`${on}, because ${because}`),
  },
  { name: '.env', what: 'the file of the settings: mode 0600', check: checkFile },
  { name: 'values', what: 'every setting, from the environment or .env', check: checkValues },
  { name: 'names', what: 'names in .env that nothing reads', check: checkNames },
  {
    name: 'for this machine',
    what: 'settings that this machine should have, or should not',
    check: checkPlace,
  },
]

async function checkFile(context: Context): Promise<Findings> {
  return [await checkMode(context), ...(await checkToolkit(context))]
}

async function checkMode({ toolkit, file }: Context): Promise<Finding> {
  const name = path.join(toolkit, '.env')
  const about = await stat(name).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (about === undefined) return ok(`${name} does not exist: defaults and the environment apply`)
  if ((about.mode & 0o077) === 0)
    return ok(`${name} has mode ${modeOf(about)} and ${Object.keys(file).length} settings`)
  return wrong(`${name} has mode ${modeOf(about)}: others can read the keys in it`, `run: chmod 600 ${name}`)
}

/** cron runs the toolkit, as root on Verda. */
async function checkToolkit({ toolkit }: Context): Promise<Finding[]> {
  const findings: Finding[] = []
  const cache = path.join(tmpdir(), `tsx-${process.geteuid?.()}`)
  const taken = await unsafePermissions(cache)
  if (taken !== undefined)
    findings.push(
      wrong(
        `${cache} ${taken}, and tsx runs its content with this user's rights`,
        'find out who created it and remove it. Set TSX_DISABLE_CACHE=1 for what you run by hand, as the crontab does',
        'cache of tsx',
      ),
    )
  for (const inner of ['', '.env', 'bin', 'bin/node', 'lib', 'scripts', 'node_modules', 'crontab']) {
    const file = path.join(toolkit, inner)
    const why = await unsafePermissions(file)
    if (why === undefined) continue
    findings.push(
      wrong(
        `${file} ${why}, and cron runs the toolkit with this user's rights`,
        `run: chown -R ${userInfo().username} ${toolkit} && chmod -R go-w ${toolkit}`,
        'toolkit',
      ),
    )
  }
  return findings
}

function checkValues({ settingProblems, toolkit }: Context): Findings {
  if (settingProblems.length === 0) return ok('all are valid')
  const todo = `correct it in ${path.join(toolkit, '.env')} or in the environment; .env.example says what each setting means`
  return settingProblems.map(({ setting, why }) => wrong(why, todo, setting))
}

function checkNames({ file }: Context): Findings {
  const known = settingNames()
  const unread = Object.keys(file).filter((name) => !known.includes(name))
  if (unread.length === 0) return ok('everything in .env is a setting')
  return unread.map((name) => {
    const near = nearest(name, known)
    const todo =
      near !== undefined
        ? `did you mean ${near}? Rename it, or delete the line`
        : 'delete the line from .env; .env.example lists all names'
    return warning('is in .env, but nothing reads it', todo, name)
  })
}

async function checkPlace({ on, here, environment, file, settings }: Context): Promise<Findings> {
  const findings: Finding[] = []
  if (environment.BACKUP_NOW) {
    const found = `every run takes ${settings.now?.toISOString() ?? 'a wrong time'} as the current time, for names, records and rotation`
    findings.push(
      file.BACKUP_NOW
        ? wrong(found, 'delete it from .env: it is for drills', 'BACKUP_NOW')
        : warning(found, 'unset it, unless this is a drill', 'BACKUP_NOW'),
    )
  }
  if (on === 'verda' && (settings.r2 || settings.hetzner))
    findings.push(
      warning(
        'this toolkit has keys of object stores on Verda, whose backups need none',
        'delete them unless a restore is running: anyone who breaks into Verda gets them',
        'keys',
      ),
    )
  if (on === 'verda') findings.push(...(await foreignKeys(here, settings)))
  if (on === 'mello' && settings.repositories.credentials === undefined)
    findings.push(
      warning(
        "is not set: the users' credentials are not backed up",
        'set it to a private git repository to which this user can push without a prompt',
        'CREDENTIALS_REPO',
      ),
    )
  const { requireMount } = settings.sfs
  if (!requireMount && settings.roots.verda === '/' && settings.environment === 'production')
    findings.push(
      warning(
        'is 0: when the share is not mounted, a backup goes to the disk below it',
        'delete it from .env: it is for drills',
        'SFS_REQUIRE_MOUNT',
      ),
    )
  return findings.length > 0 ? findings : [ok('none lacks or is for drills; no keys where they usually are')]
}

/** Keys of others on Verda: as powerful as ours, and in its backups. Prints only names. */
async function foreignKeys(here: Host, { roots, projectDir }: Settings): Promise<Finding[]> {
  const homes = ['root', 'home/dev'].map((home) => path.join(roots.verda, home))
  const files = [
    path.join(roots.verda, projectDir.verda, '.env'),
    ...homes.flatMap((home) =>
      ['.aws/credentials', '.config/rclone/rclone.conf', '.s3cfg', '.mc/config.json'].map((name) =>
        path.join(home, name),
      ),
    ),
  ]
  const { stdout } = await here.run(keyScript, files, { timeout: commandSeconds })
  const found = stdout.toString().split('\n').filter(Boolean)
  if (found.length === 0) return []
  return [
    warning(
      `${found.join(', ')}: keys of an object store are on Verda, and in its backups`,
      'give the workshop a key that may only read, or only its own bucket; never one that may write to the backups (docs/security.md, "A stolen Verda")',
      'keys of others',
    ),
  ]
}

const keyScript = `
${stepInto}${withFile}
keys='(SECRET_ACCESS_KEY|aws_secret_access_key|secret_access_key|secret_key|secretKey)["]?[[:space:]]*[=:][[:space:]]*["]?[^[:space:]"]'
for file in "$@"; do
  ( cd / && step_into "\${file%/*}" && with_file "\${file##*/}" grep -qsE "$keys" ) 2>/dev/null && echo "$file"
done
true
`
