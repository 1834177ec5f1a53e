import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { assess } from '../../lib/status/judge/assess.ts'
import { Html, html } from '../../lib/status/show/page/html.ts'
import { statusPage, writePage } from '../../lib/status/show/page/page.ts'
import { hostileNames, troubledWorld } from './troubled-world.ts'
import { healthyWorld } from './world.ts'

describe('html', () => {
  test('a text stays a text, whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const [, inside = ''] = /^<p title="(.*)">$/s.exec(html`<p title="${text}">`.toString()) ?? []
        expect(inside).not.toMatch(/[<>"'`]|&(?!#\d+;)|\p{Cc}|\p{Bidi_Control}/u)
      }),
    )
  })

  test('its own pieces and lists of them go in as they are; nothing else does', () => {
    expect(
      html`<ul>${['a', '<b>'].map((text) => html`<li>${text}</li>`)}</ul>${false}${undefined}${0}`.toString(),
    ).toBe('<ul><li>a</li><li>&#60;b&#62;</li></ul>0')
    expect(() => new Html('<script>', 'mine' as never)).toThrow('only html')
  })
})

describe('the page', () => {
  const page = statusPage(assess(troubledWorld()))

  test('brings nothing from elsewhere and runs nothing', () => {
    const tags = page.match(/<[^>]*>/g)?.join('') ?? ''
    expect(tags.length).toBeGreaterThan(10_000)
    expect(tags).not.toMatch(/<script|<link|<iframe|<img|\son\w+=|\ssrc=|href="(?!#)/i)
    expect(page).not.toMatch(/@import|url\(/i)
    expect(page).toContain("default-src 'none'")
  })

  test('holds no name of a file as markup', () => {
    for (const name of hostileNames) if (/[<>"]/.test(name)) expect(page).not.toContain(name)
    expect(page).toContain('&#60;script&#62;document.title')
    expect(page).not.toContain('\u202e')
  })

  test('begins with what needs a person', () => {
    expect(page).toContain('Action needed: 7 problems')
    const order = ['id="findings"', 'Mello has no good backup of scripts', 'id="checklist"', 'id="coverage"']
    const places = order.map((text) => page.indexOf(text))
    expect(places).toEqual([...places].sort((a, b) => a - b))
    expect(places[0]).toBeGreaterThan(0)
  })

  test('says that all is good only where everything could be looked at', () => {
    const shape = {
      now: new Date('2026-11-24T10:00:00Z'),
      copies: 2,
      unchangedDays: 1,
      minutesAgo: 5,
      hetzner: true,
    }
    const { seen } = healthyWorld(shape)
    expect(statusPage(assess(seen))).toContain('<p class="verdict good">All good')
    for (const shelf of seen.shelves) if (shelf.store === 'mello') shelf.state = 'left out'
    expect(statusPage(assess(seen))).toContain('<p class="verdict look">Partly checked: no problem found')
  })
})

test('commands are code, the words around them are not', () => {
  const state = assess(troubledWorld())
  const todo =
    'On Mello, crontab -l and tail ~/comfyume-backup.log. comfyume-backup verify --adopt reads them whole; comfyume-backup backup-verda --only env,ufw --to r2 then'
  state.findings = [
    { trouble: 'broken', status: 'wrong', items: [], what: 'see comfyume-backup doctor', todo },
  ]
  const [, findings = ''] = statusPage(state).split('id="findings"')
  const codes = [...(findings.split('</section>')[0] ?? '').matchAll(/<code>(.*?)<\/code>/g)].map(
    ([, code = '']) => code.replaceAll(/<\/?span>/g, ''),
  )
  expect(codes).toEqual([
    'comfyume-backup doctor',
    'crontab -l',
    'tail ~/comfyume-backup.log',
    'comfyume-backup verify --adopt',
    'comfyume-backup backup-verda --only env,ufw --to r2',
    ...['sfs', 'mello', 'r2'].map((store) => `comfyume-backup verify --store ${store}`),
  ])
})

test('no question of the checklist is a denial: an answer of no would be a double one', () => {
  for (const { question } of assess(troubledWorld()).checks)
    expect(question).not.toMatch(/\b(no|nothing|never|not)\b/i)
})

describe('writing it', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'page-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('a new page is for this user alone, one in the place of another for whom that was', async () => {
    const file = path.join(folder, 'status.html')
    await writePage(file, 'one')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    chmodSync(file, 0o644)
    await writePage(file, 'two')
    expect([readFileSync(file, 'utf8'), statSync(file).mode & 0o777]).toEqual(['two', 0o644])
    expect(readdirSync(folder)).toEqual(['status.html'])
  })

  test('what cannot be written leaves what was there, and nothing half', async () => {
    await expect(writePage(path.join(folder, 'none/status.html'), 'one')).rejects.toThrow('ENOENT')
    mkdirSync(path.join(folder, 'taken/inside'), { recursive: true })
    writeFileSync(path.join(folder, 'taken/inside/file'), '')
    await expect(writePage(path.join(folder, 'taken'), 'one')).rejects.toThrow()
    expect(readdirSync(folder)).toEqual(['taken'])
  })
})
