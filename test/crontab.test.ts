import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { backupFlags } from '../lib/cli/backup-command.ts'
import { listOf, parseFlags } from '../lib/cli/flags.ts'
import {
  type Bucket,
  buckets,
  type CommandName,
  type Item,
  items,
  type StoreName,
  type StorePolicy,
} from '../lib/inventory.ts'
import { type Request, type Selected, selectItems } from '../lib/select.ts'
import { type CronLine, readCrontab, runsOfADay } from './crontab-file.ts'

const crontabs = {
  verda: { ...readCrontab('verda'), commands: ['backup-cron'] },
  mello: { ...readCrontab('mello'), commands: ['backup-verda', 'backup-mello'] },
}
const install = '/opt/comfyume-backup'
const backupLines = Object.values(crontabs).flatMap(({ lines }) => lines.filter((line) => requestOf(line)))

describe('the crontabs hold the schedules of the inventory', () => {
  test('every item that has a schedule on a store runs there once in each of its hours, and in no other', () => {
    expect(scheduledHours()).toEqual(inventoryHours())
  })

  test('an hour, an item or a store that is left out would be noticed', () => {
    const [first, ...others] = backupLines
    expect(scheduledHours(others)).not.toEqual(inventoryHours())
    expect(scheduledHours([...others, { ...(first as CronLine), schedule: '5 1-23 * * *' }])).not.toEqual(
      inventoryHours(),
    )
  })
})

describe.each(Object.entries(crontabs))('crontab/%s', (_, { variables, lines, commands }) => {
  const log = lines.map(({ command }) => />>(\S+) 2>&1$/.exec(command)?.[1])

  test('sets the shell, the path with the Node runtime first, UTC, and no mail', () => {
    expect(variables).toMatchObject({ CRON_TZ: 'UTC', SHELL: '/bin/bash', MAILTO: '' })
    const folders = variables.PATH?.split(':') ?? []
    expect(folders[0]).toBe(`${install}/bin`)
    expect(folders).toEqual(expect.arrayContaining(['/usr/bin', '/bin']))
    for (const folder of folders) expect(folder).toMatch(/^\/[^$~]+$/)
  })

  test('runs only commands of this machine', () => {
    const used = lines.flatMap((line) => requestOf(line)?.command ?? [])
    expect(new Set(used)).toEqual(new Set(commands))
  })

  test.each(lines)(
    '$schedule begins with an absolute path, logs all, and has no % for cron to cut at',
    (line) => {
      expect(line.command).toMatch(/^\//)
      expect(line.command).toMatch(/ >>\/\S+\.log 2>&1$/)
      expect(line.command).not.toContain('%')
      if (requestOf(line))
        expect(line.command.startsWith(`${install}/node_modules/.bin/tsx ${install}/scripts/`)).toBe(true)
    },
  )

  test('no two lines begin in the same minute of the hour', () => {
    const minutes = lines.map(({ schedule }) => schedule.split(' ')[0])
    expect(new Set(minutes).size).toBe(lines.length)
  })

  test('one log, which the line that is no backup keeps from growing for ever', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'crontab-'))
    try {
      expect(new Set(log).size).toBe(1)
      const logFile = log[0] as string
      const [keeper] = lines.filter((line) => !requestOf(line))
      const command = keeper?.command.replaceAll(path.dirname(logFile), folder) as string
      const shell = (script: string) =>
        execFileSync('bash', ['-c', script], { cwd: folder, encoding: 'utf8' })

      const name = path.basename(logFile)
      shell(`echo small >${name}; ${command}`)
      expect(shell('ls')).toBe(`${name}\n`)
      shell(`truncate -s 6M ${name}; echo older >${name}.1; ${command}`)
      expect(shell(`stat -c '%n %s' ${name}*`)).toBe(`${name}.1 ${6 << 20}\n`)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('as cron runs it, with a bare environment', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'crontab-'))
    mkdirSync(path.join(folder, 'bin'))
    symlinkSync(process.execPath, path.join(folder, 'bin/node'))
    for (const part of ['node_modules', 'lib', 'scripts', 'package.json'])
      symlinkSync(path.resolve(import.meta.dirname, '..', part), path.join(folder, part))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const keys = { R2_ACCESS_KEY_ID: 'id', R2_SECRET_ACCESS_KEY: 'not a secret' }
  const runnable = Object.values(crontabs).flatMap(({ variables, lines }) =>
    lines.flatMap(({ command }) => {
      const script = /\/scripts\/\S+\.ts/.exec(command)?.[0]
      return script && existsSync(path.join(import.meta.dirname, '..', script)) ? { command, variables } : []
    }),
  )

  test.each(runnable)('$command', ({ command, variables }) => {
    const dry = command
      .replaceAll(install, folder)
      .replace(/ >>\S+ 2>&1$/, ` --dry-run >>${folder}/run.log 2>&1`)
    rmSync(`${folder}/run.log`, { force: true })
    try {
      execFileSync('/bin/bash', ['-c', dry], {
        cwd: '/',
        env: { HOME: folder, LOGNAME: 'root', PATH: variables.PATH?.replace(install, folder), ...keys },
      })
    } catch (error) {
      throw new Error(readFileSync(`${folder}/run.log`, 'utf8'), { cause: error })
    }
    expect(readFileSync(`${folder}/run.log`, 'utf8')).toMatch(/ would do this:\n(?:.*\n)+/)
  })
})

/** What a line asks a backup command for; undefined for a line that runs none. */
function requestOf({ command }: CronLine): Request | undefined {
  const [, name, rest = ''] = /\/scripts\/(\S+)\.ts(.*?) >>/.exec(command) ?? []
  if (name === undefined) return undefined
  const flags = parseFlags(rest.split(' ').filter(Boolean), backupFlags)
  const [only, to] = [listOf(flags.only), listOf(flags.to)]
  return {
    command: name as CommandName,
    quick: flags.quick === true,
    ...(only ? { only } : {}),
    ...(to ? { to } : {}),
  }
}

type HoursByTarget = Record<string, number[]>

/** `item -> store`: the hours at which the crontabs back it up there, each as often as it does. */
function scheduledHours(lines = backupLines): HoursByTarget {
  const hours: HoursByTarget = {}
  for (const line of lines) {
    const selected: Selected[] = selectItems(requestOf(line) as Request)
    const ran = runsOfADay(line).map(({ hour }) => hour)
    for (const target of selected.flatMap(({ item, stores }) =>
      stores.map((store) => `${item.name} -> ${store}`),
    ))
      hours[target] = [...(hours[target] ?? []), ...ran]
  }
  for (const list of Object.values(hours)) list.sort((a, b) => a - b)
  return hours
}

/** The same, as the inventory has it. What goes to R2 goes to Hetzner with it. */
function inventoryHours(): HoursByTarget {
  const hours: HoursByTarget = {}
  for (const item of items) {
    for (const store of ['sfs', 'r2', 'hetzner'] as const) {
      const policy = policyOf(item, store === 'hetzner' ? 'r2' : store)
      if (policy === undefined || policy.hours === 'on addition') continue
      hours[`${item.name} -> ${store}`] = policy.hours === 'every' ? [...Array(24).keys()] : [...policy.hours]
    }
  }
  return hours
}

function policyOf(item: Item, store: StoreName & ('sfs' | 'r2')): StorePolicy | undefined {
  return item.bucket === undefined ? undefined : (buckets[item.bucket] as Bucket)[store]
}
