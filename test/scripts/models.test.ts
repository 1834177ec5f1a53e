import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { outcomeOf } from './restorable.ts'
import { reportOf } from './verda.ts'
import { buildWorkshop, modelsBucket, type Workshop } from './workshop.ts'

/** Models from Verda to R2 and back: what is whole, what changed, and as of when. */

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

const base = 'checkpoints/base.safetensors'
const live = (name = base) => path.join(workshop.verda.root, 'mnt/sfs/models', name)
const backUp = async (now: string, env: Record<string, string> = {}) => {
  const run = await workshop.backupVerda(['--only', 'models', '--json'], { BACKUP_NOW: now, ...env })
  const [item] = reportOf(run).items
  const files = Object.fromEntries((item?.stores.r2?.files ?? []).map(({ key, status }) => [key, status]))
  return { code: run.code, item, files, warnings: item?.warnings ?? [] }
}
const stored = async (key: string) => (await workshop.r2.content(modelsBucket, key))?.toString()

/** A safetensors file with one tensor. */
function safetensors(content: string): Buffer {
  const header = JSON.stringify({
    t: { dtype: 'U8', shape: [content.length], data_offsets: [0, content.length] },
  })
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(header.length))
  return Buffer.concat([size, Buffer.from(header), Buffer.from(content)])
}

it('a model that is shorter than its header says, or has a download beside it, is skipped and named, and fails after a day', async () => {
  workshop.writeModel('loras/cut.safetensors', safetensors('x'.repeat(1000)))
  truncateSync(live('loras/cut.safetensors'), 500)
  workshop.writeModel('loras/loading.safetensors', safetensors('whole'))
  workshop.writeModel('loras/loading.safetensors.aria2', 'x')
  workshop.writeModel('loras/whole.safetensors', safetensors('whole'))
  const now = new Date()
  const first = await backUp(now.toISOString())
  expect(first.code).toBe(0)
  expect(first.files['loras/whole.safetensors']).toBe('stored')
  expect(workshop.r2.keys(modelsBucket).join()).not.toMatch(/cut|loading/)
  expect(first.warnings.join()).toMatch(
    /loras\/cut.safetensors is not whole yet \(it has 500 bytes, its header says 1.0 KB\).*loras\/loading.safetensors is not whole yet \(loras\/loading.safetensors.aria2 is next to it\)/,
  )
  const later = await backUp(new Date(now.getTime() + 25 * 3_600_000).toISOString())
  expect(later.code).toBe(1)
  expect(later.item?.reason).toMatch(/cut.safetensors is not whole yet .*has not grown for a day/)

  workshop.writeModel('loras/cut.safetensors', safetensors('x'.repeat(1000)))
  rmSync(live('loras/loading.safetensors.aria2'))
  const whole = await backUp(new Date(now.getTime() + 26 * 3_600_000).toISOString())
  expect([
    whole.code,
    whole.files['loras/cut.safetensors'],
    whole.files['loras/loading.safetensors'],
  ]).toEqual([0, 'stored', 'stored'])
})

it.each([
  ['nothing', ''],
  ['a Git LFS pointer', 'version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n'],
  ['a web page', '<!doctype html><title>Access denied</title>'],
  ['zeros', Buffer.alloc(4096)],
])('%s in the place of a model is no model', async (_, content) => {
  workshop.writeModel('loras/no.safetensors', content)
  const now = new Date()
  const first = await backUp(now.toISOString())
  expect(workshop.r2.keys(modelsBucket).join()).not.toContain('loras/no.')
  expect(first.warnings.join()).toMatch(
    /loras\/no.safetensors is not whole yet \(it is empty, space reserved/,
  )
  expect((await backUp(new Date(now.getTime() + 25 * 3_600_000).toISOString())).code).toBe(1)
})

it('changed content is stored beside the first, of the same size too, and --at brings back what was there then', async () => {
  const then = (hour: number) => new Date(Date.UTC(2026, 10, 24, hour))
  const lay = (content: string, hour: number) => {
    workshop.writeModel(base, content)
    utimesSync(live(), then(hour), then(hour))
  }
  lay('first content', 9)
  expect((await backUp('2026-11-24T10:00:00Z')).files[base]).toBe('stored')
  lay('other content', 11)
  const second = await backUp('2026-11-24T12:00:00Z')
  const beside = 'checkpoints/base-2026-11-24.safetensors'
  expect([second.code, second.files[beside]]).toEqual([0, 'stored'])
  lay('a third, longer one', 13)
  const third = await backUp('2026-11-24T14:00:00Z')
  expect(third.files['checkpoints/base-2026-11-24-14.safetensors']).toBe('stored')
  expect(await stored(base)).toBe('first content')
  expect(await stored(beside)).toBe('other content')
  // Rewritten with the same content: it is read and found unchanged.
  lay('a third, longer one', 15)
  expect((await backUp('2026-11-24T16:00:00Z')).item?.status).toBe('unchanged')

  const restored = async (...args: string[]) => {
    const to = path.join(workshop.verda.folder, `to-${args.join('')}`)
    mkdirSync(to)
    const run = await workshop.restore(['--only', 'models', '--yes', '--json', '--root', to, ...args], {
      BACKUP_NOW: '2026-11-25T00:00:00Z',
    })
    expect(run.code, run.stderr).toBe(0)
    expect(outcomeOf(run, 'models').files?.map((file) => file.path)).not.toContain(beside)
    return readFileSync(path.join(to, 'mnt/sfs/models', base), 'utf8')
  }
  expect(await restored()).toBe('a third, longer one')
  expect(await restored('--at', '2026-11-24-10')).toBe('first content')
  expect(await restored('--at', '2026-11-24-13')).toBe('other content')
})

it.each([
  ['before', 10, 'checkpoints/base-2026-11-24.safetensors', 'checkpoints/base-2026-11-24-14.safetensors'],
  [
    'together with',
    14,
    'checkpoints/base-2026-11-24.safetensors',
    'checkpoints/base-2026-11-24-14.safetensors',
  ],
  [
    'after',
    16,
    'checkpoints/base-2026-11-24-2026-11-24.safetensors',
    'checkpoints/base-2026-11-24.safetensors',
  ],
])(
  'a model that comes %s changed content and has the very name that this would take: both come back',
  async (_, comes, ofTwin, ofChanged) => {
    const twin = 'checkpoints/base-2026-11-24.safetensors'
    const files: Record<string, string> = {}
    for (const hour of [10, 14, 16]) {
      if (hour === 14) workshop.writeModel(base, 'changed content')
      if (hour === comes) workshop.writeModel(twin, 'twin')
      const run = await backUp(`2026-11-24T${hour}:00:00Z`)
      expect([run.code, run.item?.reason]).toEqual([0, undefined])
      Object.assign(files, Object.fromEntries(Object.entries(run.files).filter(([, is]) => is === 'stored')))
    }
    expect(Object.keys(files)).toEqual(expect.arrayContaining([ofTwin, ofChanged]))
    expect([await stored(ofTwin), await stored(ofChanged)]).toEqual(['twin', 'changed content'])
    const to = path.join(workshop.verda.folder, 'to')
    mkdirSync(to)
    const run = await workshop.restore(['--only', 'models', '--yes', '--json', '--root', to], {
      BACKUP_NOW: '2026-11-25T00:00:00Z',
    })
    expect(run.code, run.stderr).toBe(0)
    const restored = (name: string) => readFileSync(path.join(to, 'mnt/sfs/models', name), 'utf8')
    expect([restored(twin), restored(base)]).toEqual(['twin', 'changed content'])
  },
)

it('a whole file on the share is taken, though R2 has a shorter one', async () => {
  await workshop.r2.put(modelsBucket, base, Buffer.from('half'))
  const share = path.join(workshop.verda.sfs, 'models', base)
  mkdirSync(path.dirname(share), { recursive: true })
  writeFileSync(share, safetensors('whole'))
  const to = path.join(workshop.verda.folder, 'to')
  mkdirSync(to)
  const restore = () => workshop.restore(['--only', 'models', '--yes', '--json', '--root', to])
  const run = await restore()
  expect(run.code, run.stderr).toBe(0)
  expect(outcomeOf(run, 'models').files).toContainEqual(
    expect.objectContaining({ path: base, status: 'linked' }),
  )
  expect(outcomeOf(await restore(), 'models').status).toBe('unchanged')
  expect(readFileSync(path.join(to, 'mnt/sfs/models', base))).toEqual(safetensors('whole'))
})

it('what is wrong with one model stops no other, in a backup and in a restore', async () => {
  const long = `loras/${'x'.repeat(240)}.safetensors`
  workshop.writeModel(long, 'long')
  workshop.writeModel('vae/a.safetensors', 'a')
  expect((await backUp('2026-11-24T10:00:00Z')).code).toBe(0)
  const to = path.join(workshop.verda.folder, 'to')
  mkdirSync(path.join(to, 'mnt/sfs/models'), { recursive: true })
  writeFileSync(path.join(to, 'mnt/sfs/models/checkpoints'), 'a file in the way of a folder')
  const run = await workshop.restore(['--only', 'models', '--yes', '--json', '--root', to])
  expect(run.code).toBe(1)
  const files = outcomeOf(run, 'models').files ?? []
  expect(Object.fromEntries(files.map((file) => [file.path, file.status]))).toMatchObject({
    [base]: 'failed',
    [long]: 'downloaded',
    'vae/a.safetensors': 'downloaded',
  })
})

/** A cat that counts its calls: models are read with cat. */
function countReads(): { env: Record<string, string>; reads: () => number } {
  const bin = path.join(workshop.verda.folder, 'bin')
  const log = path.join(workshop.verda.folder, 'reads')
  mkdirSync(bin)
  writeFileSync(path.join(bin, 'cat'), `#!/bin/sh\n[ $# -gt 0 ] || echo >>${log}\nexec /bin/cat "$@"\n`, {
    mode: 0o755,
  })
  return {
    env: { PATH: `${bin}:${process.env.PATH}` },
    reads() {
      const count = existsSync(log) ? readFileSync(log).length : 0
      rmSync(log, { force: true })
      return count
    },
  }
}

it('a model that was touched is read once, and never again until it is another', async () => {
  const { env, reads } = countReads()
  /** A file written just now is not remembered: it might change without a change of its times. */
  const settled = () => wait(3100)
  const at = (hour: number) => new Date(Date.UTC(2026, 10, 24, hour))
  const touch = (hour: number) => utimesSync(live(), at(hour), at(hour))
  const status = async (hour: number) => (await backUp(at(hour).toISOString(), env)).item?.status
  for (const name of [base, 'loras/style.safetensors']) utimesSync(live(name), 1, 1)
  await settled()
  expect([await status(10), reads()]).toEqual(['stored', 2])
  touch(11)
  await settled()
  expect([await status(12), reads()], 'touched').toEqual(['unchanged', 1])
  expect([await status(13), reads()], 'again').toEqual(['unchanged', 0])
  chmodSync(live('loras/style.safetensors'), 0o600)
  expect([await status(13), reads()], 'another mode').toEqual(['unchanged', 0])

  const state = path.join(workshop.verda.folder, 'state/comfyume-backup')
  const memory = path.join(state, readdirSync(state).find((name) => name.startsWith('models-')) as string)
  writeFileSync(memory, '{"checkpoints/base.safetensors":5}')
  expect([await status(14), reads()], 'lost').toEqual(['unchanged', 1])

  writeFileSync(live(), 'BASE model\n')
  touch(11)
  await settled()
  expect([await status(15), reads()], 'other content, of the same size and time').toEqual(['stored', 2])
  writeFileSync(live(), 'base MODEL\n')
  touch(9)
  expect([await status(16), reads()], 'other content, of an older time').toEqual(['stored', 2])
})

it('whatever its name, a model comes back, or is named as one that cannot be stored', async () => {
  const names = [
    '-rf.safetensors',
    'a b  c.safetensors',
    '$(id) `id` "x" \'y\' *?[z].safetensors',
    '%41 +&=#.safetensors',
    'é€😀.safetensors',
    '-2026-11-24.safetensors',
    ' .safetensors',
    'line\u2028and paragraph\u2029.safetensors',
    `${'x'.repeat(243)}.safetensors`,
    `${'é'.repeat(121)}x.safetensors`,
  ]
  const impossible = ['new\nline', 'tab\there', 'bell\u0007', 'esc\u001b[31m', 'cr\r', 'back\\slash']
  for (const name of names) workshop.writeModel(`loras/${name}`, `first of ${name}`)
  for (const name of impossible) workshop.writeModel(`loras/${name}.safetensors`, 'x')
  mkdirSync(live('loras/-folder'))
  workshop.writeModel('loras/-folder/-.safetensors', 'in a folder')
  const first = await backUp('2026-11-24T10:00:00Z')
  expect(first.code).toBe(1)
  expect(first.item?.reason?.match(/has a name that no bucket accepts/g)).toHaveLength(impossible.length)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be there
  expect(first.item?.reason).not.toMatch(/[\x00-\x1f]/)
  expect(Object.values(first.files)).toEqual(Array(names.length + 3).fill('stored'))
  for (const name of names) workshop.writeModel(`loras/${name}`, `other of ${name}`)
  const second = await backUp('2026-11-24T12:00:00Z')
  expect(Object.values(second.files).filter((status) => status === 'stored')).toHaveLength(names.length)

  const to = path.join(workshop.verda.folder, 'to')
  mkdirSync(to)
  const run = await workshop.restore(['--only', 'models', '--yes', '--json', '--root', to])
  expect(run.code, run.stderr).toBe(0)
  const restored = (name: string) => readFileSync(path.join(to, 'mnt/sfs/models/loras', name), 'utf8')
  for (const name of names) expect(restored(name)).toBe(`other of ${name}`)
  expect(restored('-folder/-.safetensors')).toBe('in a folder')
})
