import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, expect, test } from 'vitest'
import { buildVerda } from '../../demo/verda.ts'
import { buildWorkshop } from '../scripts/workshop.ts'

/** Every command that the pages show is run here, or taken by its command. */

const project = path.resolve(import.meta.dirname, '../..')
const pages = ['README.md', ...['restore', 'setup', 'operations'].map((name) => `docs/${name}.md`)]
const textOf = (page: string) => readFileSync(path.join(project, page), 'utf8')
const blocksIn = (page: string) => blocksOf(textOf(page))
/** The commands of one section. */
const section = (page: string, title: string) =>
  blocksOf(
    textOf(page)
      .split(/^## /m)
      .find((one) => one.startsWith(title)) ?? '',
  )

const onMello = [
  ...section('docs/setup.md', 'Mello'),
  ...section('docs/operations.md', 'Could everything be restored'),
  ...section('README.md', 'Before you shut'),
]
const onVerda = section('docs/setup.md', 'Verda')
const onNew = section('docs/restore.md', 'Everything')
const byHand = section('docs/restore.md', 'By hand')

describe('the commands', () => {
  test('the first two are the scripts of package.json, which other tests run', () => {
    const { scripts } = JSON.parse(textOf('package.json'))
    expect(blocksIn('README.md').slice(0, 2)).toEqual(['npm ci && npm run demo\n', 'npm ci && npm test\n'])
    // test/demo.test.ts runs the first, test/left-out.test.ts the second.
    expect(scripts.demo).toBe('tsx scripts/demo.ts')
    expect(scripts.test).toBe('vitest run --project unit --project integration --project smoke')
  })

  test('all others are run below', () => {
    const run = [...onMello, ...onVerda, ...onNew, ...byHand]
    expect(run.length).toBe(8)
    const shown = pages.flatMap(blocksIn).slice(2)
    expect(shown.filter((block) => !run.includes(block))).toEqual([])
  })

  test('set up, look and back up, on a small Mello', async () => {
    const workshop = await buildWorkshop()
    const { folder, settings } = workshop.verda
    const inside = (name: string) => path.join(folder, name)
    try {
      makeRepository(inside('repository'))
      // As set-up leaves it on Verda.
      workshop.verda.write('opt/comfyume-backup/package.json', '{}')
      workshop.verda.write('opt/comfyume-backup/bin/node', 'a runtime', 0o755)
      const script = onMello
        .join('')
        .replaceAll('/opt/comfyume-backup', inside('toolkit'))
        .replace('setup mello', 'setup mello --dry-run')
        // Here there is no Verda with a share to be seen, which status says.
        .replace('comfyume-backup status', 'comfyume-backup status || echo "status ended with $?"')
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
      expect(printed).toContain('would do  settings: ')
      expect(printed).toContain('backup-verda in production at 2026-11-24T10:00:00.000Z would do this:')
      expect(printed).toContain('SAFE TO SHUT DOWN')
      expect(printed).not.toContain('NOT SAFE')
      expect(printed).toContain('OK backup-mello: 3 stored, 0 unchanged, 0 skipped, 0 failed')
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
      mkdirSync(inside('verda/opt'))
      mkdirSync(inside('sfs/models/checkpoints'), { recursive: true })
      writeFileSync(inside('sfs/models/checkpoints/base.safetensors'), 'weights')
      makeRepository(inside('repository'))
      writeFileSync(inside('engine'), engine, { mode: 0o755 })

      const on = (blocks: readonly string[], root: string) =>
        blocks.join('').replaceAll('/mnt/sfs', inside('sfs')).replaceAll('-C /', `-C ${root}`)
      const script = [
        on(onVerda, '')
          .replaceAll('/opt/comfyume-backup', inside('verda/opt/comfyume-backup'))
          .replace('setup verda', `setup verda --dry-run && ${runtime}`),
        // A drill, because it is not this machine that is restored; and nobody is there to answer.
        on(onNew, inside('new'))
          .replaceAll('/opt/comfyume-backup', inside('new/opt/comfyume-backup'))
          .replace('--full', `--full --yes --root ${inside('new')} --from sfs`),
        on(byHand, inside('by-hand')),
      ].join('')
      const {
        stdout: printed,
        stderr,
        status,
      } = spawnSync('bash', ['-euc', `${replaced}\n${script}`], {
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

      expect({ status, said: status === 0 ? '' : printed + stderr }).toEqual({ status: 0, said: '' })
      expect(printed).toContain('would do  crontab: ')
      expect(printed).toContain('backup-cron in production at 2026-03-04T05:06:07.000Z would do this:')
      expect(printed).toContain('OK backup-cron: 7 stored, 0 unchanged, 0 skipped, 0 failed')
      expect(printed).toContain('OK backup-cron: 8 stored, 0 unchanged, 0 skipped, 0 failed')
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

  test('those within a line are ones that the commands take', async () => {
    const inLine = pages
      .flatMap((page) => [
        ...textOf(page)
          .replaceAll(/^ *```.*?^ *```$/gms, '')
          .matchAll(/`(?:comfyume-backup ([a-z-]+)|tsx scripts\/([a-z-]+)\.ts)([^`]*)`/g),
      ])
      .map(([, name, script, flags = '']) => ({
        command: name ?? script ?? '',
        flags: flags.replaceAll("'", '').trim().split(/\s+/).filter(Boolean),
      }))
    const asked = new Map(inLine.map((one) => [JSON.stringify(one), one]))
    expect(asked.size).toBeGreaterThan(20)
    const workshop = await buildWorkshop()
    try {
      for (const { command, flags } of asked.values()) {
        // update looks at the crontab of this machine.
        const harmless = command === 'update' ? '--help' : '--dry-run'
        const run = await workshop.verda.script(command, [...new Set([...flags, harmless])])
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

function blocksOf(markdown: string): string[] {
  return [...markdown.matchAll(/^( *)```sh\n(.*?)^ *```$/gms)].map(([, margin = '', commands = '']) =>
    commands.replaceAll(new RegExp(`^${margin}`, 'gm'), ''),
  )
}

/** A git repository with what `git clone` would bring. */
function makeRepository(folder: string): void {
  mkdirSync(folder)
  for (const name of [
    'package.json',
    'package-lock.json',
    '.npmrc',
    '.gitignore',
    '.env.example',
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

/** The one step of setup that the backups after it need, because a dry run does nothing. */
const runtime = 'install -D "$(command -v node)" bin/node'

/** What a test must not do: download packages (those of the checkout are taken), and change this machine. */
const replaced = `
comfyume-backup() { scripts/comfyume-backup "$@"; }
npm() { command npm "$@" --dry-run --offline >/dev/null && ln -s "$PROJECT/node_modules" node_modules; }
sudo() { [ "$1 $2" = 'install -d' ] && mkdir -p "\${@: -1}"; }
mount() { echo "mounted $3"; }
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
