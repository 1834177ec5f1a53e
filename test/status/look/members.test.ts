import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { linesOf, type Member, meansPath, membersOf } from '../../../lib/status/look/members.ts'
import { tarOf, type Member as Written } from '../../restore/tar-writer.ts'

async function membersIn(archive: Buffer): Promise<{ members: Member[]; bytes: number }> {
  const members: Member[] = []
  let bytes = 0
  const lines = linesOf(Readable.from([archive.subarray(0, 100), archive.subarray(100)]), (more) => {
    bytes += more
  })
  for await (const member of membersOf(lines)) members.push(member)
  return { members, bytes }
}
const archiveOf = (...members: Written[]) => gzipSync(tarOf(...members))
const mtime = Date.parse('2026-11-23T17:02:03Z') / 1000

test('each member with its path, size and time, whatever its name holds', async () => {
  const archive = archiveOf(
    { name: 'home/dev/', type: 'folder', mtime },
    { name: 'home/dev/notes', content: 'four', mtime },
    { name: 'home/dev/a\nb "c" -> d\\n.txt', content: 'x', mtime },
    { name: 'home/dev/übung [1]*?.txt', content: 'x', mtime },
    { name: Buffer.from('home/dev/\xe9t\xe9', 'latin1'), content: 'x', mtime },
    { name: 'home/dev/link', type: 'link', link: 'no "where"', mtime },
    { name: 'home/dev/again', type: 'hard link', link: 'home/dev/notes', mtime },
  )
  const { members, bytes } = await membersIn(archive)
  const modified = new Date(mtime * 1000)
  expect(bytes).toBe(archive.length)
  expect(members).toMatchObject([
    { path: 'home/dev/', pattern: 'home/dev', type: 'folder', modified },
    { path: 'home/dev/notes', pattern: 'home/dev/notes', type: 'file', bytes: 4, modified },
    { path: 'home/dev/a\nb "c" -> d\\n.txt', pattern: 'home/dev/a?b "c" -> d\\\\n.txt', type: 'file' },
    { path: 'home/dev/übung [1]*?.txt', pattern: 'home/dev/übung \\[1]\\*\\?.txt' },
    { path: 'home/dev/\uFFFDt\uFFFD', pattern: 'home/dev/*t*' },
    { path: 'home/dev/link', type: 'link', to: 'no "where"' },
    { path: 'home/dev/again', pattern: 'home/dev/notes', type: 'file', to: 'home/dev/notes' },
  ])
})

test('none is missed where times have more or fewer digits than those before them', async () => {
  const at = (name: string, digits: string): Written => ({ name, pax: { mtime: `${mtime}${digits}` } })
  const { members } = await membersIn(
    archiveOf(at('a', '.123456789'), at('b', '.5'), at('c', ''), at('d', '.25')),
  )
  expect(members.map(({ path }) => path)).toEqual(['a', 'b', 'c', 'd'])
})

test('a member that tar tells of in other words is no member that is skipped', async () => {
  const lines = Readable.from([Buffer.from('-rw-r--r-- a file\n')])
  await expect(membersOf(lines).next()).rejects.toThrow('in an unknown form')
})

test.each<[string, (whole: Buffer) => Buffer]>([
  ['cut short', (whole) => whole.subarray(0, -20)],
  ['no archive', () => Buffer.from('hello')],
  ['text in gzip', () => gzipSync('hello '.repeat(1000))],
])('what is %s is told, and is no empty archive', async (_, change) => {
  const whole = archiveOf({ name: 'a', content: 'x'.repeat(100_000) })
  await expect(membersIn(change(whole))).rejects.toThrow(/^tar: /)
})

test('a stream that breaks off is told as what broke it', async () => {
  const body = Readable.from(
    (async function* () {
      yield archiveOf({ name: 'a' }).subarray(0, 20)
      throw new Error('the line is dead')
    })(),
  )
  const read = async () => {
    for await (const _ of membersOf(linesOf(body, () => {})));
  }
  await expect(read()).rejects.toThrow('the line is dead')
})

test.each<[string, string, boolean]>([
  ['notes', 'home/dev/notes', true],
  ['notes', 'home/dev/notes/', true],
  ['notes', 'home/dev/notes/a', false],
  ['notes', 'home/dev/old-notes', false],
  ['dev/notes', 'home/dev/notes', true],
  ['/notes', 'home/dev/notes', false],
  ['/home/dev/notes', 'home/dev/notes', true],
  ['/home/dev/notes', './home/dev/notes', true],
  ['*notes*', 'home/dev/old-notes.txt', true],
  ['notes/*', 'home/dev/notes/', false],
  ['/home/*.txt', 'home/dev/a\nb.txt', true],
  ['n?tes', 'nötes', true],
  ['[a-c]*', 'home/b', true],
  ['[!a-c]', 'home/b', false],
  ['\\[a]', 'home/[a]', true],
  ['[', 'home/[', true],
  ['a.c', 'abc', false],
  ['a\\', 'a\\', true],
])('%s means %j: %s', (pattern, path, means) => {
  expect(meansPath(pattern)(path)).toBe(means)
})
