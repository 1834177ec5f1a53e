import { stat } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import type { Host } from '../hosts/host.ts'
import { type Settings, settingNames } from '../settings.ts'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { whyNotOurs } from './others.ts'

export const settingChecks: readonly Check[] = [
  {
    group: 'settings',
    name: 'machine',
    what: 'which machine this is taken to be, and why',
    check: ({ on, because }) => [ok(`${on}, because ${because}`)],
  },
  {
    group: 'settings',
    name: '.env',
    what: 'the file of the settings: mode 0600',
    check: checkFile,
  },
  {
    group: 'settings',
    name: 'values',
    what: 'every setting, from the environment or .env',
    check: checkValues,
  },
  {
    group: 'settings',
    name: 'names',
    what: 'names in .env that nothing reads',
    check: checkNames,
  },
  {
    group: 'settings',
    name: 'for this machine',
    what: 'settings that this machine should have, or should not',
    check: checkPlace,
  },
]

async function checkFile(context: Context): Promise<Finding[]> {
  return [...(await checkMode(context)), ...(await checkToolkit(context))]
}

/** Cron runs what lies there, on Verda as root. */
async function checkToolkit({ toolkit }: Context): Promise<Finding[]> {
  const findings: Finding[] = []
  const cache = path.join(tmpdir(), `tsx-${process.geteuid?.()}`)
  const taken = await whyNotOurs(cache)
  if (taken !== undefined)
    findings.push(
      wrong(
        `${cache} ${taken}, and tsx runs what lies there with this user's rights`,
        `find out who made it; then remove it, and have TSX_DISABLE_CACHE=1 in the environment of whatever is run by hand, as the crontab has it`,
        'cache of tsx',
      ),
    )
  for (const inner of ['', 'bin', 'bin/node', 'lib', 'scripts', 'node_modules', 'crontab']) {
    const file = path.join(toolkit, inner)
    const why = await whyNotOurs(file)
    if (why === undefined) continue
    findings.push(
      wrong(
        `${file} ${why}, and cron runs what lies there with this user's rights`,
        `take that away: chown -R ${userInfo().username} ${toolkit} && chmod -R go-w ${toolkit}`,
        'toolkit',
      ),
    )
  }
  return findings
}

async function checkMode({ toolkit, file }: Context): Promise<Finding[]> {
  const name = path.join(toolkit, '.env')
  const about = await stat(name).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (about === undefined) return [ok(`there is no ${name}: the defaults and the environment hold`)]
  const mode = `0${(about.mode & 0o7777).toString(8).padStart(3, '0')}`
  if ((about.mode & 0o077) !== 0)
    return [
      wrong(`${name} has mode ${mode}: others can read the keys in it`, `take that away: chmod 600 ${name}`),
    ]
  return [ok(`${name} has mode ${mode} and ${Object.keys(file).length} settings`)]
}

/** A problem begins with its setting's name, and holds no secret. */
function checkValues({ settingProblems, toolkit }: Context): Finding[] {
  if (settingProblems.length === 0) return [ok('all are right')]
  return settingProblems.map((problem) => {
    const [name = '', ...why] = problem.split(' ')
    return wrong(
      why.join(' '),
      `set it right in ${path.join(toolkit, '.env')}, or in the environment; README.md, "Settings", tells what it says`,
      name,
    )
  })
}

function checkNames({ file }: Context): Finding[] {
  const known = settingNames()
  const unread = Object.keys(file).filter((name) => !known.includes(name))
  if (unread.length === 0) return [ok('everything in .env is a setting')]
  return unread.map((name) => {
    const near = known.toSorted((a, b) => distance(name, a) - distance(name, b))[0] ?? ''
    const todo =
      distance(name, near) <= 4
        ? `is ${near} meant? Rename it, or take the line out`
        : 'take the line out of .env; README.md, "Settings", lists all names'
    return warning('is in .env, but nothing reads it', todo, name)
  })
}

async function checkPlace({ on, here, environment, file, settings }: Context): Promise<Finding[]> {
  const findings: Finding[] = []
  if (environment.BACKUP_NOW) {
    const said = `every run takes ${settings.now?.toISOString() ?? 'a wrong time'} for now`
    findings.push(
      file.BACKUP_NOW
        ? wrong(
            `${said}: names, records and rotation go by it`,
            'take it out of .env: it is for drills',
            'BACKUP_NOW',
          )
        : warning(`${said}`, 'unset it, if this is no drill', 'BACKUP_NOW'),
    )
  }
  if (on === 'verda' && (settings.r2 || settings.hetzner))
    findings.push(
      warning(
        'keys of object stores lie on Verda, whose backups need none',
        'take them out when no restore is under way: whoever breaks into Verda has them',
        'keys',
      ),
    )
  if (on === 'verda') findings.push(...(await foreignKeys(here, settings)))
  if (on === 'mello' && settings.repositories.credentials === undefined)
    findings.push(
      warning(
        "is not set: the users' credentials are backed up nowhere",
        'set it to a private git repository to which this user can push without being asked',
        'CREDENTIALS_REPO',
      ),
    )
  const { requireMount } = settings.sfs
  if (!requireMount && settings.roots.verda === '/' && settings.environment === 'production')
    findings.push(
      warning(
        'is 0: a backup would go to the disk below a share that is not mounted',
        'take it out of .env: it is for drills',
        'SFS_REQUIRE_MOUNT',
      ),
    )
  return findings.length > 0 ? findings : [ok(`nothing is missing or too much on ${on}`)]
}

/** Keys that the workshop itself, or its people, keep on Verda: they can do there what ours could, and lie in its backups. Names alone are looked at. */
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
  const { stdout } = await here.run(keyScript, files, { timeout: 20 })
  const found = stdout.toString().split('\n').filter(Boolean)
  if (found.length === 0) return []
  return [
    warning(
      `${found.join(', ')}: keys of an object store lie on Verda, and in its backups`,
      'give the workshop a key that may only read, or only its own bucket; never one of the four buckets of the backups that may write (SECURITY.md, "A stolen Verda")',
      'keys of others',
    ),
  ]
}

const keyScript = `
for file in "$@"; do
  grep -qsE '(SECRET_ACCESS_KEY|aws_secret_access_key|secret_access_key|secret_key|secretKey)["]?[[:space:]]*[=:][[:space:]]*["]?[^[:space:]"]' -- "$file" && echo "$file"
done
true
`

/** How many letters must be put in, taken out or changed to make one name of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
