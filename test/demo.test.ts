import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import {
  chmod,
  copyFile,
  lutimes,
  mkdir,
  readFile,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { moment } from '../demo/calendar.ts'
import type { Chapter } from '../demo/chapter.ts'
import { aSmallVerda } from '../demo/chapters/a-small-verda.ts'
import { compared } from '../demo/chapters/compared.ts'
import { everythingComesBack } from '../demo/chapters/everything-comes-back.ts'
import { theInstanceIsGone } from '../demo/chapters/the-instance-is-gone.ts'
import { tellStory } from '../demo/demo.ts'
import { narrator } from '../demo/narrator.ts'
import { backUp, planRun } from '../demo/stage.ts'
import { differences, type Stock, takeStock } from '../demo/stock.ts'
import { buildVerda } from '../demo/verda.ts'
import { steady } from './docs/steady.ts'

let folder: string
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'demo-test-'))
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('npm run demo', () => {
  const demo = (...flags: string[]) =>
    execa(path.resolve('node_modules/.bin/tsx'), ['scripts/demo.ts', ...flags], {
      cwd: path.resolve(import.meta.dirname, '..'),
      env: { TMPDIR: folder },
      reject: false,
    })

  test('tells its story to a good end, in plain text where there is no terminal, and cleans up', async () => {
    const { exitCode, stdout, stderr } = await demo('--weeks', '1')
    expect(stdout.split('\n').at(-1)).toMatch(/^EVERYTHING CAME BACK: \d+ files, folders and links, in /)
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
    expect(stdout.match(/^\d+\. .*/gm)?.map((title) => title.split(' ')[0])).toEqual(
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map((number) => `${number}.`),
    )
    expect(stdout).not.toContain('\x1b')
    // Another user cannot give files to users who do not exist here.
    if (process.getuid?.() === 0)
      await expect(steady(stdout, folder)).toMatchFileSnapshot('docs/printed/demo.txt')
    expect(readdirSync(folder).filter((name) => name.startsWith('comfyume-demo-'))).toEqual([])
  })

  test.each([[['--weeks', '0']], [['--weeks', '1.5']], [['--week', '1']], [['now']]])(
    'refuses %j and exits with 2',
    async (flags) => {
      expect(await demo(...flags)).toMatchObject({ exitCode: 2, stdout: '' })
    },
  )
})

describe('a story in which not everything comes back', () => {
  const everythingBackedUp: Chapter = {
    title: 'One backup',
    tell: async (stage) => (await backUp(stage, planRun(stage, moment(0, 0, 5), ['config', 'scripts']))).ok,
  }
  const tamper = (title: string, change: (verda: string, share: string) => void): Chapter => ({
    title,
    async tell({ verda, settings }) {
      change(verda, settings.sfs.cache)
      return true
    },
  })
  async function tell(chapters: Chapter[]): Promise<{ good: boolean; text: string }> {
    let text = ''
    const say = narrator({
      write(chunk: string | Uint8Array) {
        text += chunk
        return true
      },
    })
    return { good: await tellStory(chapters, { weeks: 1, keep: false, say }), text }
  }

  test('is told as good only while nothing is tampered with', async () => {
    const chapters = [aSmallVerda, everythingBackedUp, theInstanceIsGone, everythingComesBack, compared]
    expect(await tell(chapters)).toMatchObject({ good: true })
  })

  test('a file that came back different is named, and the verdict is bad', async () => {
    const changed = tamper('Tampered with', (verda) => chmodSync(`${verda}/root/notes.txt`, 0o600))
    const { good, text } = await tell([
      aSmallVerda,
      everythingBackedUp,
      theInstanceIsGone,
      everythingComesBack,
      changed,
      compared,
    ])
    expect(good).toBe(false)
    expect(text).toContain('DIFFERENT: "/root/notes.txt": mode was 644, is 600')
    expect(text.trimEnd().split('\n').at(-1)).toBe(
      'NOT EVERYTHING CAME BACK: the demo failed in "Compared with what was lost"',
    )
  })

  test('an archive that rots on the share is not unpacked', async () => {
    const rotten = tamper('Rotten', (_, share) => {
      const [archive = ''] = readdirSync(`${share}/config`).filter((name) => /^ufw-.*gz$/.test(name))
      writeFileSync(`${share}/config/${archive}`, 'rot', { flag: 'r+' })
    })
    const { good, text } = await tell([
      aSmallVerda,
      everythingBackedUp,
      theInstanceIsGone,
      rotten,
      everythingComesBack,
      compared,
    ])
    expect(good).toBe(false)
    expect(text).toMatch(/FAILED ufw: none of 1 copies is good.*it is not what its record says/)
    expect(text).toContain('NOT EVERYTHING CAME BACK: the demo failed in "Everything comes back"')
  })
})

describe('the comparison', () => {
  let root: string
  let before: Stock
  beforeEach(async () => {
    root = mkdtempSync(path.join(folder, 'stock-'))
    await buildVerda(root)
    before = await takeStock(root)
  })
  const odd = (name: string) => path.join(root, 'home/dev/odd', name)

  test('finds nothing where nothing changed', async () => {
    expect(differences(before, await takeStock(root))).toEqual([])
  })

  test.each<[string, () => Promise<void>, RegExp]>([
    ['a byte', () => writeKeepingTimes(odd('-rf'), 'A name like a flag'), /-rf": content was/],
    ['a mode', () => chmod(odd('empty file'), 0o600), /empty file": mode was 644, is 600/],
    ['a time', () => utimes(odd('from 1999'), 0, 0), /from 1999": time of change was/],
    ['the time of a link', () => lutimes(odd('dangling link'), 5, 5), /dangling link": time of change/],
    ['the target of a link', () => relink(odd('dangling link')), /dangling link": link was/],
    ['a hard link', () => unshare(odd('second name of models.list')), /second name.*": hard link was/],
    ['holes', () => fill(odd('sparse')), /sparse": holes was some, is none/],
    ['a lost file', () => unlink(odd('a\nnewline')), /a\\nnewline" is missing/],
    ['a lost empty folder', () => rm(odd('empty folder'), { recursive: true }), /empty folder" is missing/],
    ['a new file', () => writeFile(odd('new'), ''), /new" was not there before/],
    ['a folder for a file', () => becomeFolder(odd('empty file')), /empty file": type was/],
  ])('notices %s', async (_, change, difference) => {
    await change()
    expect(differences(before, await takeStock(root))).toContainEqual(expect.stringMatching(difference))
  })

  test.runIf(process.getuid?.() === 0)('notices an owner', async () => {
    await execa('chown', ['1:2', odd('sparse')])
    expect(differences(before, await takeStock(root))).toEqual([
      '"/home/dev/odd/sparse": owner was 0:0, is 1:2',
    ])
  })

  async function writeKeepingTimes(file: string, text: string): Promise<void> {
    const reference = path.join(folder, 'reference')
    await execa('cp', ['-a', file, reference])
    await writeFile(file, text)
    await execa('touch', ['-r', reference, '--', file])
  }
  async function relink(file: string): Promise<void> {
    await unlink(file)
    await symlink('elsewhere', file)
  }
  async function unshare(file: string): Promise<void> {
    await copyFile(file, `${file}.copy`)
    await rename(`${file}.copy`, file)
  }
  async function fill(file: string): Promise<void> {
    await writeFile(file, await readFile(file))
  }
  async function becomeFolder(file: string): Promise<void> {
    await rm(file)
    await mkdir(file)
  }
})
