import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Request, type Selected, selectItems } from '../lib/backup/select.ts'
import { parseFlags } from '../lib/cli/flags.ts'
import { type CronLine, toolkitRun } from '../lib/crontab.ts'
import { readBackupLine } from '../lib/doctor/checks/cron.ts'
import { type Bucket, buckets, type Item, items, type StoreName, type StorePolicy } from '../lib/inventory.ts'
import { verifyFlags } from '../lib/verify/flags.ts'
import { readCrontab, requestOf, runsOfADay } from './crontab-file.ts'
import { kept, runInProcess } from './scripts/in-process.ts'

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

test.each(['backup-cron', 'backup-verda', 'backup-mello', 'verify'])(
  'what the help of %s says that cron runs is a line of a crontab',
  async (command) => {
    const [stdout, stderr] = [kept(), kept()]
    const printed = { env: {}, stdout: stdout.stream, stderr: stderr.stream }
    expect(await runInProcess(command, { argv: ['--help'], ...printed })).toBe(0)
    const examples = [...stdout.text().matchAll(/^ {2}as cron runs it.*:\n {4}comfyume-backup (.+)$/gm)].map(
      ([, line]) => line,
    )
    expect(examples.length).toBeGreaterThan(0)
    const commands = Object.values(crontabs).flatMap(({ lines }) =>
      lines.map((line) => {
        const { name = '', argv = [] } = toolkitRun(line) ?? {}
        return [name, ...argv].join(' ')
      }),
    )
    expect(commands).toEqual(expect.arrayContaining(examples))
  },
)

describe.each(Object.entries(crontabs))('crontab/%s', (_, { variables, lines, commands }) => {
  const log = lines.map(({ command }) => /^exec >>(\S+) 2>&1; /.exec(command)?.[1])

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
    '$schedule logs all, runs one program by its absolute path, and has no % for cron to cut at',
    (line) => {
      const [, command = ''] = /^exec >>\/\S+\.log 2>&1; (\/[^;]+(?: \\;)?)$/.exec(line.command) ?? []
      expect(command).not.toBe('')
      expect(command).not.toContain('%')
      if (command.includes('/scripts/'))
        expect(command.startsWith(`${install}/node_modules/.bin/tsx ${install}/scripts/`)).toBe(true)
    },
  )

  test('no two lines begin in the same minute of the hour', () => {
    const minutes = lines.map(({ schedule }) => schedule.split(' ')[0])
    expect(new Set(minutes).size).toBe(lines.length)
  })

  test('one log, which the line that runs none of our scripts keeps from growing for ever', () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'crontab-'))
    try {
      expect(new Set(log).size).toBe(1)
      const logFile = log[0] as string
      const [keeper] = lines.filter(({ command }) => !command.includes('/scripts/'))
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

test('no two lines of both crontabs ping the same check', () => {
  const checks = Object.values(crontabs).flatMap(({ lines }) =>
    lines.flatMap((line) => readBackupLine(line)?.check ?? []),
  )
  expect(checks).toHaveLength(backupLines.length + 2)
  expect(new Set(checks).size).toBe(checks.length)
})

test.each([
  ['backup-verda', '--to mello', '--to r2'],
  ['backup-verda', '--only config', '--only config --to r2'],
  ['backup-mello', '', '--quick'],
  ['verify', '', '--drill'],
  ['verify', '--store r2', '--store r2 --adopt'],
  ['verify', '--bytes 1G', '--bytes 1G --sample'],
])('%s %s and %s have a check each', (name, one, other) => {
  const check = (flags: string) =>
    readBackupLine({ schedule: '', command: `tsx /x/scripts/${name}.ts ${flags} >>/log 2>&1` })?.check
  expect(check(one)).toMatch(new RegExp(`^${name}-[a-z0-9-]+$`))
  expect(check(one)).not.toBe(check(other))
})

describe('every month, in a minute of its own, archives are read back', () => {
  const readsBack = ({ lines }: (typeof crontabs)['verda']) =>
    lines.flatMap(({ schedule, command }) => {
      const [, flags] = /\/scripts\/verify\.ts(.*)$/.exec(command) ?? []
      return flags === undefined
        ? []
        : [{ schedule, flags: parseFlags(flags.split(' ').filter(Boolean), verifyFlags) }]
    })

  test('on Verda those of the share, by name, so that one that is not mounted is a failure', () => {
    expect(readsBack(crontabs.verda)).toEqual([{ schedule: '45 4 1 * *', flags: { store: ['sfs'] } }])
  })

  test('on Mello those of every store that it has, with a budget that can be read', () => {
    const [line, ...others] = readsBack(crontabs.mello)
    expect(others).toEqual([])
    expect(line?.schedule).toBe('55 5 1 * *')
    expect(Object.keys(line?.flags ?? {})).toEqual(['bytes'])
    expect(line?.flags.bytes).toBeGreaterThan(192 * 2 ** 30)
  })
})

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
