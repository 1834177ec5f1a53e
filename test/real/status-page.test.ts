import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import axe from 'axe-core'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assess } from '../../lib/status/judge/assess.ts'
import { readCronRuns } from '../../lib/status/judge/expected.ts'
import { statusPage } from '../../lib/status/show/page/page.ts'
import { troubledWorld } from '../status/troubled-world.ts'
import { healthyWorld } from '../status/world.ts'

const crontabs = ['verda', 'mello'].flatMap((host) =>
  readCronRuns(host, readFileSync(path.resolve(import.meta.dirname, '../../crontab', host), 'utf8')),
)
const healthy = {
  now: new Date('2026-11-24T10:00:00Z'),
  copies: 20,
  unchangedDays: 0,
  minutesAgo: 9,
  hetzner: true,
}
const pages = { troubled: troubledWorld(), healthy: healthyWorld(healthy).seen }

let folder: string
let browser: Browser
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'status-page-'))
  for (const [name, seen] of Object.entries(pages))
    writeFileSync(path.join(folder, `${name}.html`), statusPage(assess(seen, crontabs)))
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
})
afterAll(async () => {
  await browser?.close()
  rmSync(folder, { recursive: true })
})

interface Opened {
  page: Page
  /** Console messages and network requests of the page. */
  said: string[]
}

async function open(name: string, width: number, colorScheme: 'light' | 'dark'): Promise<Opened> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
  const said: string[] = []
  page.on('console', (message) => said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  page.on('request', (request) => {
    if (!request.url().startsWith('file:')) said.push(request.url())
  })
  await page.goto(`file://${folder}/${name}.html`)
  return { page, said }
}

const sights = Object.keys(pages).flatMap((name) =>
  [390, 1280].flatMap((width) => (['light', 'dark'] as const).map((scheme) => ({ name, width, scheme }))),
)

describe.each(sights)('the $name page, $width px wide, $scheme', ({ name, width, scheme }) => {
  let opened: Opened
  beforeAll(async () => {
    opened = await open(name, width, scheme)
  })
  afterAll(() => opened.page.close())

  test('asks the network for nothing, and the console has nothing to say', () => {
    expect(opened.said).toEqual([])
  })

  test('is as wide as the screen: only tables scroll sideways', async () => {
    const sizes = await opened.page.evaluate('[document.documentElement.scrollWidth, window.innerWidth]')
    expect(sizes).toEqual([width, width])
  })

  test('is in the colours that were asked for', async () => {
    const back = String(await opened.page.evaluate('getComputedStyle(document.body).backgroundColor'))
    const light = Number(/\d+/.exec(back)?.[0]) > 128
    expect(light).toBe(scheme === 'light')
  })

  test('axe finds no fault in it', async () => {
    await opened.page.evaluate(axe.source)
    const faults = await opened.page.evaluate(
      'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" ")))',
    )
    expect(faults).toEqual([])
  })
})

test('on a phone every state is seen without scrolling sideways, and the rest behind a summary', async () => {
  const { page } = await open('troubled', 390, 'light')
  const beyond = await page.evaluate(
    '[...document.querySelectorAll("td .badge, td time, #growth td, #growth th")].filter((one) => one.getBoundingClientRect().right > 390).length',
  )
  expect(beyond).toBe(0)
  expect(await page.locator('#coverage td .badge:visible').count()).toBe(49)
  const sizes = page.locator('#coverage td small:visible')
  expect(await sizes.count()).toBe(0)
  await page.getByText('Show sizes, copies and dates').click()
  expect(await sizes.count()).toBeGreaterThan(100)
  await page.close()
})

test('a failed day and a missed one are red, and drawn in shapes of their own', async () => {
  const { page } = await open('troubled', 1280, 'light')
  const red = await page.evaluate('getComputedStyle(document.querySelector(".failed")).fill')
  expect(red).toBe('rgb(179, 32, 43)')
  const shapes = await page.evaluate(
    '[...document.querySelectorAll("#calendar .marks path")].map((one) => one.getAttribute("d"))',
  )
  expect(new Set(shapes as string[]).size).toBe(6)
  expect(await page.locator('path.failed title').allTextContents()).toEqual([
    ...['16', '17', '18'].map((date) => `2026-11-${date}: failed`),
    '2026-11-24: failed, 1 made',
  ])
  await page.close()
})

test('names of files have done nothing to it', async () => {
  const { page } = await open('troubled', 1280, 'light')
  expect(await page.title()).toBe('7 to do: backups of production')
  expect(await page.evaluate('document.querySelectorAll("script, img, b, section style").length')).toBe(0)
  expect(await page.getByText('<script>document.title').count()).toBe(1)
  expect(await page.evaluate('getComputedStyle(document.body).display')).toBe('block')
  await page.close()
})

test('the keyboard alone leads everywhere: first to what needs a person, then to every part, table and list', async () => {
  const { page } = await open('troubled', 390, 'light')
  const reached: string[] = []
  for (let press = 0; press < 60; press++) {
    await page.keyboard.press('Tab')
    const at = String(
      await page.evaluate(
        '(({ tagName, textContent, ariaLabel }) => tagName + " " + (ariaLabel ?? textContent).trim().slice(0, 40))(document.activeElement)',
      ),
    )
    if (at.startsWith('BODY')) break
    reached.push(at)
  }
  expect(reached[0]).toBe('A To the actions needed')
  const wanted = [
    'A Checklist',
    'A Space',
    'DIV Table of every item in every store',
    'SUMMARY Cloudflare R2 in words',
  ]
  expect(reached).toEqual(expect.arrayContaining(wanted))
  await page.close()
})

test('a list behind a summary opens with the keyboard', async () => {
  const { page } = await open('troubled', 1280, 'dark')
  const summary = page.getByText('Mello in words')
  await summary.focus()
  await page.keyboard.press('Enter')
  expect(await page.getByText(/^ufw: archives on 41 days/).isVisible()).toBe(true)
  await page.close()
})

test('a screen reader is told what the eye sees: the calendar in words, the checklist with its answers', async () => {
  const { page } = await open('troubled', 1280, 'light')
  const strip = page.getByRole('img', { name: /^tailscale: archives on 42 days, the last 2026-11-24$/ })
  expect(await strip.count()).toBe(2)
  const failed =
    /^home-dev: failed on 3 days, the last 2026-11-18; no run on 2 days, the last 2026-11-11; archives on 37/
  expect(await page.getByRole('img', { name: failed }).count()).toBe(1)
  expect(await page.getByRole('listitem').filter({ hasText: 'no run, though one was due' }).count()).toBe(1)
  expect(await page.getByRole('listitem').filter({ hasText: '✗ no' }).count()).toBeGreaterThan(3)
  expect(await page.getByRole('heading', { level: 2 }).allTextContents()).toEqual([
    'Action needed',
    'Checklist',
    'Every item in every store',
    'Calendar of the last 42 days',
    'Growth of the object storage',
    'Runs',
    'Disaster recovery',
    'Space',
  ])
  await page.close()
})
