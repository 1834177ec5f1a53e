import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buckets } from '../../lib/inventory.ts'
import { readCrontab } from '../crontab-file.ts'
import { type S3Server, startS3Server } from '../servers/s3-server.ts'

const crontabs = {
  verda: { ...readCrontab('verda'), commands: ['backup-cron'] },
  mello: { ...readCrontab('mello'), commands: ['backup-verda', 'backup-mello'] },
}
const project = path.resolve(import.meta.dirname, '../..')
const install = '/opt/comfyume-backup'

describe('as cron runs it, with a bare environment', () => {
  let folder: string
  let server: S3Server
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'crontab-'))
    mkdirSync(path.join(folder, 'bin'))
    symlinkSync(process.execPath, path.join(folder, 'bin/node'))
    for (const part of ['node_modules', 'lib', 'scripts', 'package.json'])
      symlinkSync(path.resolve(project, part), path.join(folder, part))
    mkdirSync(path.join(folder, 'share/cache'), { recursive: true })
    const names = Object.values(buckets).map(({ name }) => name)
    server = await startS3Server({ folder: path.join(folder, 'r2'), buckets: names })
  })
  afterAll(async () => {
    await server.close()
    rmSync(folder, { recursive: true })
  })

  /** What would else stand in .env: the key of R2, and places in which this test may look. */
  const settings = () => ({
    R2_ENDPOINT: server.endpoint,
    R2_ACCESS_KEY_ID: server.accessKeyId,
    R2_SECRET_ACCESS_KEY: server.secretAccessKey,
    SFS_ROOT: path.join(folder, 'share'),
    SFS_REQUIRE_MOUNT: '0',
  })
  const runnable = Object.values(crontabs).flatMap(({ variables, lines }) =>
    lines.flatMap(({ command }) => {
      const script = /\/scripts\/\S+\.ts/.exec(command)?.[0]
      return script && existsSync(path.join(project, script)) ? { command, variables } : []
    }),
  )

  const cron = (command: string, { PATH = '' }: Record<string, string>) =>
    execa('/bin/bash', ['-c', command], {
      cwd: '/',
      env: { HOME: folder, LOGNAME: 'root', PATH: PATH.replace(install, folder), ...settings() },
      extendEnv: false,
      reject: false,
    })
  const logTo = (log: string, command: string) =>
    command.replaceAll(install, folder).replace(/>>\S+/, `>>${log}`)

  test.each([
    ['cannot be opened', '/nowhere/run.log', 0],
    ['lies on a full disk', '/dev/full', 1],
  ])('a log that %s keeps no backup from being made', async (_, log, code) => {
    const [line] = runnable.filter(({ command }) => command.includes('/backup-cron.ts --only home-dev'))
    const root = path.join(folder, 'verda')
    mkdirSync(path.join(root, 'etc/ufw'), { recursive: true })
    writeFileSync(path.join(root, 'etc/ufw/user.rules'), '*filter\n')
    const command = logTo(log, line?.command ?? '').replace('home-dev,root-home,scripts', 'ufw')
    const run = await cron(`export VERDA_ROOT=${root}; ${command}`, line?.variables ?? {})
    expect(run.exitCode, run.stdout + run.stderr).toBe(code)
    const config = path.join(folder, 'share/cache/config')
    expect(readdirSync(config).filter((name) => name.startsWith('ufw-'))).toHaveLength(2)
    rmSync(config, { recursive: true })
  })

  test.each(runnable)('$command', async ({ command, variables }) => {
    const dry = `${logTo(`${folder}/run.log`, command)} --dry-run`
    rmSync(`${folder}/run.log`, { force: true })
    const { exitCode } = await cron(dry, variables)
    const log = readFileSync(`${folder}/run.log`, 'utf8')
    // Some sources are not there.
    expect(exitCode, log).toBeLessThan(2)
    expect(log).toMatch(/ would do this:\n(?:.*\n)+/)
  })
})
