import { execFileSync, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { backupExits } from '../lib/cli/backup-manual.ts'
import { buildVerda } from '../lib/demo/verda.ts'
import { type Bucket, buckets, type Item, items, type StorePolicy } from '../lib/inventory.ts'
import { archiveName, ladder } from '../lib/naming.ts'
import { readSettings } from '../lib/settings.ts'
import { buildWorkshop } from './scripts/workshop.ts'

const project = path.resolve(import.meta.dirname, '..')
const readme = readFileSync(path.join(project, 'README.md'), 'utf8')
const blocks = blocksOf(readme)
/** The commands of one section. */
const section = (title: string) =>
  blocksOf(readme.split(/^## /m).find((text) => text.startsWith(title)) ?? '')

describe('the commands', () => {
  test('the two of the beginning are the scripts of package.json, which other tests run', () => {
    const { scripts } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8'))
    expect(blocks.slice(0, 2)).toEqual(['npm ci && npm run demo\n', 'npm ci && npm test\n'])
    // test/demo.test.ts runs the first, test/left-out.test.ts the second.
    expect([scripts.demo, scripts.test]).toEqual(['tsx scripts/demo.ts', 'vitest run'])
  })

  test('of all other sections, on Verda, Mello and a new instance, are run below', () => {
    const run = [
      'Set up on Verda',
      'Set up on Mello',
      'Could everything be restored',
      'On a new instance',
      'What restore does',
    ].flatMap(section)
    expect(run.length).toBe(7)
    expect(blocks.slice(2)).toEqual(run)
  })

  test('set up, look and back up, on a small Mello', { timeout: 120_000 }, async () => {
    const workshop = await buildWorkshop()
    const { folder, settings } = workshop.verda
    const inside = (name: string) => path.join(folder, name)
    try {
      makeRepository(inside('repository'))
      const script = ['Set up on Mello', 'Could everything be restored']
        .flatMap(section)
        .join('')
        .replaceAll('/opt/comfyume-backup', inside('toolkit'))
        // Here there is no Verda with a share to be seen, which status says.
        .replace('scripts/status.ts', 'scripts/status.ts || echo "status ended with $?"')
      const child = spawn('bash', ['-euc', `${replaced}\n${script}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...settings,
          HOME: folder,
          USER: 'dev',
          PATH: `${path.dirname(process.execPath)}:${process.env.PATH}`,
          PROJECT: project,
          SCRIPTS_REPO: inside('repository'),
        },
      })
      const printed = await text(child.stdout)
      expect(printed).toContain('backup-verda in production at 2026-11-24T10:00:00.000Z would do this:')
      expect(printed).toContain('SAFE TO SHUT DOWN')
      expect(printed).not.toContain('NOT SAFE')
      expect(printed).toContain('OK backup-mello: 3 stored, 0 unchanged, 0 skipped, 0 failed')
      expect(printed).toContain(`took ${inside('toolkit')}/crontab/mello`)
      expect(printed).toContain('status ended with 1')
      expect(printed).toContain('OK verify: ')
      expect(printed).toContain('OK verify --drill: ')
    } finally {
      await workshop.dispose()
    }
  })

  test('set up, look, back up, and back on a new instance, on a small Verda', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'readme-'))
    try {
      const inside = (name: string) => path.join(folder, name)
      for (const name of ['verda', 'sfs', 'new', 'by-hand']) mkdirSync(inside(name))
      await buildVerda(inside('verda'))
      // The toolkit comes there by the commands themselves.
      rmSync(inside('verda/opt'), { recursive: true })
      mkdirSync(inside('sfs/models/checkpoints'), { recursive: true })
      writeFileSync(inside('sfs/models/checkpoints/base.safetensors'), 'weights')
      makeRepository(inside('repository'))
      writeFileSync(inside('engine'), engine, { mode: 0o755 })

      const on = (title: string, root: string) =>
        section(title).join('').replaceAll('/mnt/sfs', inside('sfs')).replaceAll('-C /', `-C ${root}`)
      const script = [
        on('Set up on Verda', '').replaceAll('/opt/comfyume-backup', inside('verda/opt/comfyume-backup')),
        // A drill, because it is not this machine that is restored; and nobody is there to answer.
        on('On a new instance', inside('new'))
          .replaceAll('/opt/comfyume-backup', inside('new/opt/comfyume-backup'))
          .replace('--full', `--full --yes --root ${inside('new')} --from sfs`),
        on('What restore does', inside('by-hand')),
      ].join('')
      const printed = execFileSync('bash', ['-euc', `${replaced}\n${script}`], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          HOME: folder,
          PATH: `${path.dirname(process.execPath)}:${process.env.PATH}`,
          PROJECT: project,
          SCRIPTS_REPO: inside('repository'),
          VERDA_ROOT: inside('verda'),
          SFS_ROOT: inside('sfs'),
          SFS_REQUIRE_MOUNT: '0',
          CONTAINER_ENGINE: inside('engine'),
          BACKUP_NOW: '2026-03-04T05:06:07Z',
        },
      })

      expect(printed).toContain('backup-cron in production at 2026-03-04T05:06:07.000Z would do this:')
      expect(printed).toContain('OK backup-cron: 7 stored, 0 unchanged, 0 skipped, 0 failed')
      expect(printed).toContain('OK backup-cron: 8 stored, 0 unchanged, 0 skipped, 0 failed')
      expect(printed).toContain(`took ${inside('verda/opt/comfyume-backup')}/crontab/verda`)
      expect(printed).toContain('mounted nfs.fin-01.datacrunch.io:/SFS-prod')
      expect(printed).toContain('OK restore: ')
      expect(printed).toContain('tailscale-2026-03-04.tar.gz: OK')
      const state = 'var/lib/tailscale/tailscaled.state'
      for (const back of ['new', 'by-hand'])
        expect(readFileSync(inside(`${back}/${state}`))).toEqual(readFileSync(inside(`verda/${state}`)))
      expect(readdirSync(inside('sfs/cache'))).toContain('comfyume-worker-2026-03-04.tar.gz')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('commands within a line', () => {
  /** With the flags that they are given; `…` is no flag. */
  const inLine = [
    ...readme
      .replaceAll(/^ *```.*?^ *```$/gms, '')
      .matchAll(/`(?:[^`]*\s)?(?:node_modules\/\.bin\/)?tsx scripts\/([a-z-]+)\.ts([^`]*)`/g),
  ].map(([, command = '', flags = '']) => ({ command, flags: flags.trim().split(/\s+/).filter(Boolean) }))

  test('are ones that the commands take', { timeout: 240_000 }, async () => {
    const workshop = await buildWorkshop()
    try {
      const asked = new Map(inLine.map((one) => [JSON.stringify(one), one]))
      expect(asked.size).toBeGreaterThan(12)
      for (const { command, flags } of asked.values()) {
        const run = await workshop.verda.script(command, [...flags, '--dry-run'])
        expect({ command, flags, code: run.code === 2 ? run.stderr : 'taken' }).toEqual({
          command,
          flags,
          code: 'taken',
        })
      }
    } finally {
      await workshop.dispose()
    }
  })
})

describe('the tables', () => {
  test('settings are those that are read', () => {
    const read = new Set<string>()
    // A session token is read only with the keys that it belongs to.
    const given: Record<string, string> = { R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'secret' }
    const hetzner = { HETZNER_ENDPOINT: 'https://hel1.your-objectstorage.com', HETZNER_ACCESS_KEY_ID: 'id' }
    const get = (values: Record<string, string>, name: string) => {
      read.add(name)
      return values[name]
    }
    readSettings(new Proxy({ ...given, ...hetzner, HETZNER_SECRET_ACCESS_KEY: 'secret' }, { get }))
    expect(
      settingsTable()
        .map(({ name }) => name)
        .sort(),
    ).toEqual([...read].sort())
  })

  test.each(settingsTable())('the default of $name is $value', ({ name, value }) => {
    const complete = { R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'secret' }
    const given = value === 'none' ? {} : { [name]: value }
    const { r2, ...others } = readSettings({ ...complete, ...given })
    const { r2: r2Default, ...othersDefault } = readSettings(complete)
    expect(others).toEqual(othersDefault)
    expect({ ...r2, secretAccessKey: '' }).toEqual({ ...r2Default, secretAccessKey: '' })
  })

  test('items are those of the inventory', () => {
    expect(rowsOf('item', 'what').map((cells) => cells.map((cell) => cell.replaceAll('`', '')))).toEqual(
      items.map((item) => [
        item.name,
        sourcesOf(item),
        byCron(item),
        storesOf(item),
        item.restore.join(', '),
      ]),
    )
  })

  test('names, hours and rules on SFS are those of the inventory', () => {
    const [stamp] = ladder('x', new Date('2026-03-04T05:06:07Z'), 'day')
    const name = (folder: string, item: string) =>
      `\`${folder}${archiveName('x', stamp?.stamp as never)
        .replace('x', item)
        .replace('2026-03-04', '<YYYY-MM-DD>')}\``
    const { cache, containers } = buckets
    expect(rowsOf('item', 'archive, below `$SFS_CACHE`')).toEqual([
      ['configuration and homes', name(cache.folder, '<item>'), ...policyOf(cache.sfs)],
      [
        '`scripts`',
        name(items.find((item) => item.name === 'scripts')?.folder ?? '?', 'scripts'),
        ...policyOf(cache.sfs),
      ],
      ['images', name(containers.folder, '<image>'), ...policyOf(containers.sfs)],
    ])
  })

  test('names, hours and rules on the object stores are those of the inventory', () => {
    const rows = rowsOf('bucket', 'archive')
    expect(rows.map(([name, , , ...policy]) => [name, ...policy])).toEqual(
      Object.values(buckets).map((bucket: Bucket) => [`\`${bucket.name}\``, ...policyOf(bucket.r2)]),
    )
  })

  test('exit codes are those of the commands', () => {
    expect(rowsOf('code', 'meaning')).toEqual(backupExits.map(({ code, what }) => [String(code), what]))
  })
})

test('every file that is spoken of is there', () => {
  const files = [...readme.matchAll(/`((?:lib|crontab|scripts|\.ci)\/[^\s`]+)`/g)].map(
    ([, file = '']) => file,
  )
  expect(files.length).toBeGreaterThan(2)
  expect(files.filter((file) => !existsSync(path.join(project, file)))).toEqual([])
})

function blocksOf(markdown: string): string[] {
  return [...markdown.matchAll(/^( *)```sh\n(.*?)^ *```$/gms)].map(([, margin = '', commands = '']) =>
    commands.replaceAll(new RegExp(`^${margin}`, 'gm'), ''),
  )
}

/** The rows of the table whose header begins with these cells. */
function rowsOf(...header: string[]): string[][] {
  const tables = readme.split('\n\n').map((block) => block.split('\n').map(cellsOf))
  const table = tables.find(([cells = []]) => header.every((text, column) => cells[column] === text))
  if (table === undefined) throw new Error(`README.md has no table that begins with ${header.join(' | ')}`)
  return table.slice(2)
}

function cellsOf(row: string): string[] {
  return row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim())
}

function settingsTable(): { name: string; value: string }[] {
  return rowsOf('setting', 'default').map(([name = '', value = '']) => ({
    name: name.replaceAll('`', ''),
    value: value.replaceAll('`', ''),
  }))
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

/** A git repository with what `git clone` would bring. */
function makeRepository(folder: string): void {
  mkdirSync(folder)
  for (const name of [
    'package.json',
    'package-lock.json',
    '.npmrc',
    '.gitignore',
    'lib',
    'scripts',
    'crontab',
  ])
    cpSync(path.join(project, name), path.join(folder, name), { recursive: true })
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], { cwd: folder })
  git('init', '-q')
  git('add', '-A')
  git('commit', '-qm', 'all')
}

/** What a test must not do: download packages (those of the checkout are taken), and change this machine's crontab. */
const replaced = `
npm() { command npm "$@" --dry-run --offline >/dev/null && ln -s "$PROJECT/node_modules" node_modules; }
sudo() { [ "$1 $2" = 'install -d' ] && mkdir -p "\${@: -1}"; }
mount() { echo "mounted $3"; }
crontab() { test -s "$1" && echo "took $PWD/$1"; }
`

/** As much of docker as a capture asks for: one image with one layer. */
const engine = `#!/bin/bash
case "$1 $2" in
  'container inspect') exit 1 ;;
  'image inspect') printf '%s\\n' sha256:1234 "\${@: -1}" 1000 ;;
  save*)
    cd "$(mktemp -d)" && mkdir blobs && echo '{}' >blobs/config && seq 1000 >blobs/layer
    echo '[{"Config":"blobs/config","Layers":["blobs/layer"]}]' >manifest.json
    tar -cf - manifest.json blobs
    rm -rf "$PWD" ;;
esac
`
