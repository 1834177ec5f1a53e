import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { filesCapture } from '../../lib/capture/files.ts'
import { localHost } from '../../lib/hosts/local.ts'
import type { Source } from '../../lib/inventory.ts'
import { baseOf, depthOf } from '../../lib/restore/files/mapping.ts'
import { putInPlace } from '../../lib/restore/files/put-in-place.ts'
import { withStaging } from '../../lib/restore/files/staging.ts'
import { takeOutUnfit, topPathsOf } from '../../lib/restore/files/tree.ts'
import { unpack } from '../../lib/restore/files/unpack.ts'
import { buildVerda } from '../scripts/verda.ts'
import { buildWorkshop } from '../scripts/workshop.ts'
import { tries } from './tries.ts'

const source: Source = { path: '/src', required: true, mustHave: ['*'] }
let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'names-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** What a shell, tar, find, a terminal or a reader of lines would take for something else than a name. Relative, so that a canary lies where it ran. */
const pieces = [
  '$(touch canary)',
  '`touch canary`',
  ';touch canary;',
  '|touch canary',
  '&& touch canary',
  '--checkpoint-action=exec=touch canary',
  '--checkpoint=1',
  '-rf',
  '--',
  '*',
  '?',
  '[a-z]',
  '{a,b}',
  '~',
  '!!',
  '#',
  '\n',
  '\r',
  '\t',
  '\u001b[2J\u001b[H',
  '\u001b]0;title\u0007',
  '\u009b31m',
  '\u202e',
  '\u2028',
  "'",
  '"',
  '\\',
  '\\n',
  '%s%n',
  ' ',
  '+',
  'tar: x: file changed as we read it',
  'tar: Removing leading `/` from member names',
  '\ntar: y: Cannot open: No such file or directory\n',
  '@comfyume-end 0123456789abcdef 0 0\n',
  'PaxHeaders',
  'x.sqlite',
  '.sha256',
].map((piece) => Buffer.from(piece))
const name = fc
  .array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...pieces) },
      { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 20 }).map((raw) => Buffer.from(raw)) },
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((parts) =>
    Buffer.from(Buffer.concat(parts).map((byte) => (byte === 0 || byte === 0x2f ? 0x5f : byte))),
  )
  .chain((each) =>
    fc.constantFrom(each, Buffer.concat([each, Buffer.alloc(255, 'x')])).map((long) => long.subarray(0, 255)),
  )
  .filter((each) => !['.', '..'].includes(each.toString('latin1')))
const entry = fc.record({
  name,
  what: fc.constantFrom('file', 'file', 'folder', 'link'),
  content: fc.string({ maxLength: 10 }),
  target: name,
})

function build(entries: readonly { name: Buffer; what: string; content: string; target: Buffer }[]): void {
  rmSync(folder, { recursive: true })
  mkdirSync(path.join(folder, 'root/src'), { recursive: true })
  writeFileSync(path.join(folder, 'root/src/plain'), 'content')
  const below = Buffer.from(path.join(folder, 'root/src/'))
  for (const { name: each, what, content, target } of entries) {
    const file = Buffer.concat([below, each])
    if (existsSync(file)) continue
    if (what === 'folder') {
      mkdirSync(file)
      writeFileSync(Buffer.concat([file, Buffer.from('/'), target]), content)
    } else if (what === 'link') {
      try {
        symlinkSync(target, file)
      } catch {}
    } else writeFileSync(file, content)
  }
}

const stateOf = (below: string) =>
  execFileSync(
    'bash',
    [
      '-c',
      `cd "$1" && find . -printf '%P\\0%y %m %U %G %T@ %l\\0' | sort -z; find . -type f -print0 | sort -z | xargs -0 -r sha256sum`,
      'x',
      below,
    ],
    { env: { ...process.env, LC_ALL: 'C' } },
  ).toString('latin1')

/** Anywhere below the scratch folder and where this process works. */
const canaries = () =>
  execFileSync('find', [folder, '-name', 'canary']).toString() +
  readdirSync('.')
    .filter((each) => each === 'canary')
    .join()

test('whatever files are called, a real capture and restore bring the very same tree back, and nothing of a name is run', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(entry, { maxLength: 8 }), async (entries) => {
      build(entries)
      const root = path.join(folder, 'root')
      const capture = filesCapture(localHost({ name: 'verda', root }), [source])
      const survey = await capture.survey()
      expect(survey.state).toBe('there')
      const stream = capture.open(false)
      const archive = await buffer(stream.body)
      expect([...stream.changed, ...stream.warnings]).toEqual([])
      const to = path.join(folder, 'to')
      mkdirSync(to)
      await withStaging(to, [source], async (tree) => {
        await unpack(Readable.from([archive], { objectMode: false }), tree, {
          attributes: '*',
        })
        const base = baseOf([source], await topPathsOf(tree, depthOf([source])))
        expect(base).toBe('')
        expect(await takeOutUnfit(tree, '')).toEqual([])
        await putInPlace({
          staged: tree,
          base: '',
          root: to,
          sources: [source],
          aside: path.join(folder, 'aside'),
        })
      })
      expect(stateOf(path.join(to, 'src'))).toBe(stateOf(path.join(root, 'src')))
      expect(canaries()).toBe('')
    }),
    tries(15),
  )
})

test('the commands themselves back such names up and restore them, and print none of them in a way that steers a terminal', async () => {
  const verda = buildVerda()
  try {
    const evil = fc.sample(name, { numRuns: 25, seed: tries(1).seed })
    for (const each of evil) {
      const file = Buffer.concat([Buffer.from(path.join(verda.root, 'etc/ufw/')), each])
      if (!existsSync(file)) writeFileSync(file, 'x')
    }
    const to = path.join(verda.folder, 'drill')
    const runs = [
      await verda.cron(['--only', 'ufw']),
      await verda.cron(['--only', 'ufw', '--json']),
      await verda.script('status', ['--stores', 'sfs'], { env: { VERDA_SSH: 'local' } }),
      await verda.script('verify', ['--store', 'sfs', '--only', 'ufw']),
      await verda.restore(['--only', 'ufw', '--from', 'sfs', '--yes', '--root', to]),
      await verda.restore(['--only', 'ufw', '--from', 'sfs', '--yes', '--root', to]),
    ]
    for (const { code, stdout, stderr } of [runs[0], runs[1], runs[3], runs[4], runs[5]] as typeof runs)
      expect(code, stdout + stderr).toBe(0)
    for (const { stdout, stderr } of runs)
      expect((stdout + stderr).replaceAll('\n', '')).not.toMatch(/\p{Cc}|\p{Bidi_Control}/u)
    expect(stateOf(path.join(to, 'etc/ufw'))).toBe(stateOf(path.join(verda.root, 'etc/ufw')))
    expect(execFileSync('find', [verda.folder, '-name', 'canary']).toString()).toBe('')
  } finally {
    verda.dispose()
  }
})

test('models with such names are backed up or named, and no name makes a line of the log', async () => {
  const workshop = await buildWorkshop()
  try {
    const evil = [
      'style\u001b[2J.safetensors',
      'style\u009b31m\u202e.safetensors',
      'broken\n2026-11-24T10:00:00Z SAFE TO SHUT DOWN\n.safetensors',
      '$(touch canary).safetensors',
      '-rf.safetensors',
      'note\n2026-11-24T10:00:00Z OK backup-verda: all stored\u001b[2J.txt',
    ]
    for (const each of evil) workshop.writeModel(`loras/${each}`, 'x')
    const runs = [
      await workshop.backupVerda(['--only', 'models', '--to', 'r2']),
      await workshop.verda.script('status', ['--stores', 'r2']),
      await workshop.verda.script('verify', ['--store', 'r2', '--only', 'models', '--dry-run']),
      await workshop.verda.script('restore', [
        '--dry-run',
        '--only',
        'models',
        '--from',
        'r2',
        '--root',
        path.join(workshop.verda.folder, 'drill'),
      ]),
    ]
    const said = runs.map(({ stdout, stderr }) => stdout + stderr).join('')
    expect(said.replaceAll('\n', '')).not.toMatch(/\p{Cc}|\p{Bidi_Control}/u)
    expect(said).toContain('style\\u001b[2J.safetensors')
    expect(said).not.toMatch(/^2026-11-24T10:00:00Z (SAFE|OK)/m)
    expect(said).toContain('has a name that no bucket accepts')
    const stored = workshop.written().filter((key) => key.endsWith('.safetensors'))
    expect(stored.map((key) => path.basename(key)).sort()).toEqual([
      '$(touch canary).safetensors',
      '-rf.safetensors',
      'base.safetensors',
      'style.safetensors',
    ])
    expect(execFileSync('find', [workshop.verda.folder, '-name', 'canary']).toString()).toBe('')
  } finally {
    await workshop.dispose()
  }
})
