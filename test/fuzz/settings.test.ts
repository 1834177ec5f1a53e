import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readDotEnv } from '../../lib/settings/env-file.ts'
import {
  isLibraryImage,
  loadEnvironment,
  readSettings,
  SettingsError,
  settingNames,
} from '../../lib/settings/settings.ts'
import { cpuSeconds } from '../cpu.ts'
import { share, tries } from './tries.ts'

const names = settingNames()
/** A value that no other part of a message could hold by chance. */
const canary = 'canary7Q2x'
const secretNames = names.filter((name) => /SECRET|TOKEN|AUTHKEY|PING_URL/.test(name))

const value = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      '',
      '0',
      '1',
      'production',
      'local',
      '/',
      '~',
      '~/x',
      '/a/../b',
      'relative',
      '-oProxyCommand=x',
      'mello',
      'host:/path',
      '1.2.3.4',
      '999.1.1.1',
      '2026-11-24T03:00:00Z',
      'https://abc.eu.r2.cloudflarestorage.com',
      'https://abc.r2.cloudflarestorage.com',
      'http://[::1]:9000/',
      'comfyume-worker=a/b:c',
      'comfyume-worker=nginx',
      '=,=,',
      '__proto__=x',
      'constructor',
    ),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 25 }) },
  { weight: 1, arbitrary: fc.webUrl({ withQueryParameters: true, withFragments: true }) },
  {
    weight: 1,
    arbitrary: fc.string({
      unit: fc.constantFrom(':', '/', '.', '@', '=', ',', 'a', '-', ' ', '\n', '\0', '%', '~'),
      maxLength: 20,
    }),
  },
)
const environment = fc.dictionary(fc.constantFrom(...names), value, {
  maxKeys: names.length,
  noNullPrototype: true,
})
const needed = fc.subarray(['sfs', 'mello', 'r2', 'hetzner'] as const)

/** The settings, or what is wrong with them; nothing else may come. */
function heard<T>(read: () => T): T | SettingsError {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error
    return error
  }
}

test('whatever the settings hold, they are read, or each wrong one is named', () => {
  const outcomes = { read: 0, refused: 0 }
  fc.assert(
    fc.property(environment, needed, (env, stores) => {
      const settings = heard(() => readSettings(env, stores))
      outcomes[settings instanceof SettingsError ? 'refused' : 'read']++
      if (settings instanceof SettingsError) {
        for (const { setting, why } of settings.problems) expect(names, why).toContain(setting)
        // Each by itself is wrong too, or lacks what belongs to it; the others are not.
        const named = new Set(settings.problems.map(({ setting }) => setting))
        const sound = Object.fromEntries(Object.entries(env).filter(([name]) => !named.has(name)))
        const rest = heard(() => readSettings(sound))
        if (rest instanceof SettingsError)
          for (const { why } of rest.problems) expect(why).toMatch(/^is missing/)
        return
      }
      const folders = [
        settings.sfs.root,
        settings.sfs.cache,
        settings.melloBackups,
        settings.modelsDir,
        ...Object.values(settings.roots),
        ...Object.values(settings.projectDir),
      ]
      for (const folder of folders) expect(path.resolve(folder)).toBe(folder)
      for (const reference of Object.values(settings.images)) expect(isLibraryImage(reference)).toBe(false)
      if (settings.now) expect(settings.now.getTime()).not.toBeNaN()
      for (const store of [settings.r2, settings.hetzner])
        if (store) expect(new URL(store.endpoint).protocol).toMatch(/^https?:$/)
    }),
    tries(1500),
  )
  expect(Math.min(...Object.values(outcomes)), JSON.stringify(outcomes)).toBeGreaterThan(share(50))
})

test('whatever else is wrong, no secret is in the message, nor in what is printed of settings', () => {
  const around = fc.constantFrom('', 'x', ' ', 'https://', 'https://u:', '@', '"', '\n')
  const secrets = fc
    .tuple(around, around)
    .map(([before, after]) => Object.fromEntries(secretNames.map((name) => [name, before + canary + after])))
  const endpoint = fc.constantFrom(
    '',
    `https://u:${canary}@host`,
    `https://u:${canary}@`,
    `//u:${canary}@host`,
    `u:${canary}@host`,
    `https://host/?key=${canary}`,
  )
  fc.assert(
    fc.property(environment, secrets, endpoint, endpoint, needed, (env, hidden, r2, hetzner, stores) => {
      const settings = heard(() =>
        readSettings({ ...env, ...hidden, R2_ENDPOINT: r2, HETZNER_ENDPOINT: hetzner }, stores),
      )
      const shown = settings instanceof SettingsError ? settings.message : JSON.stringify(settings)
      expect(shown).not.toContain(canary)
      expect(inspect(settings, { depth: 9, showHidden: true })).not.toContain(canary)
    }),
    tries(1000),
  )
})

let folder: string
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'settings-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

test('whatever a .env holds, its settings are read, or its wrong lines are named by their numbers alone', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc
      .tuple(
        fc.constantFrom(...names, '__proto__', 'constructor', 'lower', '1X', 'export A'),
        fc.constantFrom('=', ' = ', '', ': '),
        fc.oneof(value, fc.constant(canary)),
      )
      .map((parts) => parts.join('')),
    fc.constantFrom('# comment', '', `"${canary}"`, `export ${canary}`, `\t${canary}=`, '\uFEFF'),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
      const text = lines.join(end)
      const { values, wrongLines } = readDotEnv(text)
      expect(wrongLines.every((line) => line >= 1 && line <= text.split('\n').length)).toBe(true)
      for (const [name, its] of Object.entries(values)) {
        expect(name).toMatch(/^[A-Za-z_]\w*$/)
        expect(text).toContain(its)
      }
      writeFileSync(path.join(folder, '.env'), text)
      const loaded = heard(() => loadEnvironment(folder))
      if (loaded instanceof SettingsError) expect(loaded.message).not.toContain(canary)
      else heard(() => readSettings(loaded))
    }),
    tries(600),
  )
})

test('a line of a megabyte is read in no time', () => {
  for (const long of [
    ' '.repeat(1e6),
    `${' '.repeat(1e6)}x`,
    `x${' '.repeat(1e6)}y`,
    '"'.repeat(1e6),
    `${' \t'.repeat(5e5)}=`,
  ]) {
    const before = cpuSeconds()
    readDotEnv(`A=${long}\n${long}\nA${long}`)
    expect(cpuSeconds() - before).toBeLessThan(1)
  }
})
