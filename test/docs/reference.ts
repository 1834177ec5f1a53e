import { backupManual } from '../../lib/backup/flags.ts'
import { type Bucket, buckets, type Item, items, type StorePolicy } from '../../lib/inventory.ts'
import { archiveName, ladder } from '../../lib/naming.ts'
import { type Setting, table } from '../../lib/settings/table.ts'

/** docs/reference.md and .env.example, made from the inventory and the table of settings. */

export function reference(): string {
  return `${[
    '# Reference',
    'Made from `lib/inventory.ts` and `lib/settings/table.ts`; `npx vitest run test/docs -u` writes it again.',
    '## Items',
    itemsTable(),
    '`--only` takes items, or the groups `config` (with the homes), `containers`, `models`, `user-data` and `credentials`. A\nname that is both means the group: `item:user-data` is that item alone. What goes to R2 also goes to Hetzner, once that\nis set up. The homes leave out caches, `node_modules` and what other items hold.',
    '## Names and rotation on SFS',
    sfsTable(),
    'A run replaces the file of its own day. Environments other than production write all of it below `<environment>/`.\nThe keep rules mean what `restic forget --keep-daily`, `--keep-weekly` and `--keep-monthly` mean. One copy can satisfy\nseveral rules, so 1 daily and 1 monthly is one copy: the newest.',
    '## Names on Mello and in object storage',
    storesTable(),
    '`home-dev`, `root-home`, `user-data` and `user-outputs` are whole here at least once a week, and in between hold only\nwhat changed. A `.list.gz` next to each archive names all that the item held\n([decision 13](decisions/0013-chains-of-increments.md)).',
    'On Mello the same names are below `MELLO_BACKUPS`. Nothing is removed on either: the last column says which copies the\nrule would select. Reports of runs are in `runs/`: in the cache bucket, in the folder on Mello, and for 90 days in the\nSFS cache.',
    '## Settings',
    'They come from the environment, or from `.env` next to `package.json`. The environment wins. All wrong ones are reported\nat once, before anything starts.',
    rows(
      ['setting', 'default', 'what it says'],
      settings().map(({ name, value, says }) => [
        `\`${name}\``,
        value === '' ? 'none' : `\`${value}\``,
        says,
      ]),
    ),
    '## Exit codes',
    'For the backup commands. `--help` shows those of the others. After Ctrl-C a command ends by that signal.',
    rows(['code', 'meaning'], Object.entries(backupManual('backup-cron').exits)),
  ].join('\n\n')}\n`
}

export function envExample(): string {
  const entries = settings().map(({ name, value, says }) => `# ${says}\n#${name}=${value}`)
  return `${[
    '# Settings of comfyume-backup. To change one, remove the # in front of its name. Values are taken literally: a $ is a $.\n# The environment overrides this file. Keep it readable by its owner alone: chmod 600 .env',
    ...entries,
  ].join('\n\n')}\n`
}

/** The rows of the table with their defaults as they would be written into .env. */
export function settings(): { name: string; value: string; says: string }[] {
  const values = new Map<string, string>()
  return (table as readonly Setting[]).map(({ name, fallback = '', says }) => {
    const value = fallback.replace(/^\$(\w+)/, (_, other: string) => values.get(other) ?? '')
    values.set(name, value)
    return { name, value, says }
  })
}

function itemsTable(): string {
  const header = ['item', 'what', 'backup-cron', 'goes to', 'back from']
  return rows(
    header,
    items.map((item) => [
      `\`${item.name}\``,
      sourcesOf(item),
      byCron(item),
      storesOf(item),
      item.restore.join(', '),
    ]),
  )
}

function sfsTable(): string {
  const [stamp] = ladder('x', new Date('2026-03-04T05:06:07Z'), 'day')
  const name = (folder: string, item: string) =>
    `\`${folder}${archiveName('x', stamp?.stamp as never)
      .replace('x', item)
      .replace('2026-03-04', '<YYYY-MM-DD>')}\``
  const { cache, containers } = buckets
  const scripts = items.find((item) => item.name === 'scripts')
  return rows(
    ['item', 'archive, below `$SFS_CACHE`', 'made', 'keeps'],
    [
      ['configuration and homes', name(cache.folder, '<item>'), ...policyOf(cache.sfs)],
      ['`scripts`', name(scripts?.folder ?? '?', 'scripts'), ...policyOf(cache.sfs)],
      ['images', name(containers.folder, '<image>'), ...policyOf(containers.sfs)],
    ],
  )
}

function storesTable(): string {
  const names: Partial<Record<Bucket['stamp'], [archive: string, second: string]>> = {
    day: ['<YYYY-MM-DD>.tar.gz', '`-<YYYY-MM-DD-HH>`, then `-…-MM`'],
    hour: ['<YYYY-MM-DD-HH>.tar.gz', '`-<YYYY-MM-DD-HH-MM>`'],
    file: ['<file>.safetensors', '`<file>-<YYYY-MM-DD>.safetensors`'],
  }
  return rows(
    ['bucket', 'archive', 'second content of the same time', 'made', 'would keep'],
    Object.values(buckets).map(({ name, folder, stamp, holds, r2 }: Bucket) => {
      const [archive = '', second = ''] = names[stamp] ?? []
      const of = holds.startsWith('container') ? '<image>-' : '<item>-'
      return [
        `\`${name}\``,
        `\`${stamp === 'file' ? '<folder>/' : folder + of}${archive}\``,
        second,
        ...policyOf(r2),
      ]
    }),
  )
}

function sourcesOf({ capture }: Item): string {
  if (capture.kind === 'image') return 'image'
  if (capture.kind === 'models') return `${capture.path}/{${capture.folders}}/*${capture.extension}`
  const paths = capture.sources.map(({ path, match }) => (match ? `${path}/${match}` : path)).join(', ')
  return capture.sources.some(({ required }) => required) ? paths : `${paths}, optional`
}

function byCron({ commands }: Item): string {
  const when = commands['backup-cron']?.when
  return when === undefined ? 'never' : when === 'default' ? 'always' : when
}

function storesOf({ commands }: Item): string {
  return [...new Set(Object.values(commands).flatMap(({ to }) => to))].join(', ') || 'git'
}

function policyOf(policy: StorePolicy | undefined): string[] {
  const { hours = [], keep = {} } = policy ?? {}
  const made = hours === 'every' ? 'every hour' : hours === 'on addition' ? hours : `at ${hours.join(', ')} h`
  if (keep === 'all') return [made, keep]
  const kept = Object.entries(keep).map(([period, count]) => `${count} ${period}`)
  return [made, kept.join(', ')]
}

/** A table of Markdown. */
function rows(header: readonly string[], cells: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`
  return [line(header), line(header.map(() => '---')), ...cells.map(line)].join('\n')
}
