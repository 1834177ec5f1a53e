import { existsSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { restoringMarker } from '../../lib/inventory.ts'
import { buildClinic, type Clinic } from './clinic.ts'

let clinic: Clinic
beforeEach(async () => {
  clinic = await buildClinic()
})
afterEach(() => clinic.dispose())

const unseen =
  'warning stores r2 deletion: whether this key may delete, and whether the buckets are locked, cannot be seen from here: doctor never tries'

/** What is complained of beyond what no key can show. */
async function found(env: Record<string, string> = {}) {
  const { code, lines } = await clinic.complaints('mello', env)
  return { code, lines: lines.filter((line) => line !== unseen) }
}

it('finds nothing wrong where nothing is, and says honestly what it cannot see', async () => {
  const { code, stdout, stderr } = await clinic.doctor()
  expect(stderr).toBe('')
  expect(stdout).toContain('ok       settings machine: mello, because the crontab runs backup-verda\n')
  const odd = stdout.split('\n').filter((line) => !line.startsWith('ok '))
  expect(odd).toEqual([
    unseen.replace('warning ', 'warning  '),
    expect.stringContaining(
      '-> from a computer that may see the configuration of Cloudflare R2: npx wrangler r2 bucket lock list comfyume-cache-backups',
    ),
    expect.stringMatching(/^OK doctor on mello: \d+ ok, 1 warning, 0 wrong$/),
    '',
  ])
  expect(code).toBe(0)
  expect(clinic.service.seen()).toEqual({ connections: 1, bytes: 0 })
})

describe('settings', () => {
  it.each<[string, (name: string) => [text: string, mode?: number], number, string[]]>([
    [
      'others can read .env',
      () => ['# keys\n', 0o644],
      1,
      ['wrong settings .env: FILE has mode 0644: others can read the keys in it'],
    ],
    [
      'a name is mistyped',
      () => ['R2_ACESS_KEY_ID=x\n'],
      0,
      ['warning settings R2_ACESS_KEY_ID: is in .env, but nothing reads it'],
    ],
    [
      'a drill left its time behind',
      () => ['BACKUP_NOW=2026-01-02\n'],
      1,
      [
        'wrong settings BACKUP_NOW: every run takes 2026-01-02T00:00:00.000Z for now: names, records and rotation go by it',
      ],
    ],
    ['a line is none', () => ['R2_KEY: x\n'], 2, ['wrong settings .env: line 1 is not NAME=value']],
  ])('%s', async (_, file, code, lines) => {
    const name = path.join(clinic.toolkit, '.env')
    clinic.dotEnv(...file(name))
    // An environment that is empty still wins over .env.
    clinic.settings.BACKUP_NOW = undefined as never
    expect(await found()).toEqual({ code, lines: lines.map((line) => line.replace('FILE', name)) })
  })

  it('a mistyped name is told with the one that was meant', async () => {
    clinic.dotEnv('R2_ACESS_KEY_ID=x\nENTIRELY_FOREIGN=y\n')
    const { stdout } = await clinic.doctor(['--only', 'settings'])
    expect(stdout).toContain('-> is R2_ACCESS_KEY_ID meant? Rename it, or take the line out\n')
    expect(stdout).toContain('-> take the line out of .env; README.md')
  })

  it('every wrong one is told, what depends on them is left out, and the rest is looked at all the same', async () => {
    const { code, lines } = await found({ ENVIRONMENT: 'prod', VERDA_SSH: '-x', R2_ACCESS_KEY_ID: '' })
    expect(code).toBe(2)
    expect(lines.filter((line) => line.startsWith('wrong'))).toEqual([
      'wrong settings VERDA_SSH: must be a destination for ssh, or local',
      'wrong settings ENVIRONMENT: must be one of production, staging, testing; it is "prod"',
      'wrong settings R2_ACCESS_KEY_ID: is missing: R2 cannot be used without it',
    ])
    const others = lines.filter((line) => !line.startsWith('wrong'))
    for (const line of others) expect(line).toMatch(/: not checked: (VERDA_SSH|R2_ACCESS_KEY_ID) is wrong$/)
    expect(others).toContain('warning sources tailscale: not checked: VERDA_SSH is wrong')
    expect(others).toContain('warning stores r2 multipart: not checked: R2_ACCESS_KEY_ID is wrong')
    expect(clinic.workshop.r2.log).toEqual([])
  })

  it('no repository for the credentials', async () => {
    expect(await found({ CREDENTIALS_REPO: '' })).toEqual({
      code: 0,
      lines: ["warning settings CREDENTIALS_REPO: is not set: the users' credentials are backed up nowhere"],
    })
  })
})

describe('tools', () => {
  it.each([
    ['tar', 'echo "tar (GNU tar) 1.26"', 'tar (GNU tar) 1.26 is too old'],
    ['find', 'echo "BusyBox v1.36"', `BIN/find is not GNU find (BusyBox v1.36)`],
    ['bash', 'echo "GNU bash, version 4.4.20(1)-release"', 'GNU bash, version 4.4.20(1)-release is too old'],
  ])('another %s', async (name, script, words) => {
    // The scripts themselves are to be run by this machine's own bash.
    clinic.command(name, `[[ $1 == --version ]] || exec /usr/bin/${name} "$@"; ${script}`)
    expect(await found()).toEqual({
      code: 1,
      lines: [`wrong tools ${name}: ${words.replace('BIN', path.join(clinic.folder, 'bin'))}`],
    })
  })
})

describe('clock', () => {
  it('another time zone', async () => {
    clinic.zone('Europe/London')
    expect(await found()).toEqual({
      code: 1,
      lines: ['wrong clock time zone: is Europe/London: cron goes by it, and every schedule here is in UTC'],
    })
  })

  it('no time server', async () => {
    clinic.zone('Etc/UTC', 'no')
    expect(await found()).toEqual({
      code: 0,
      lines: ['warning clock time server: is not set by a time server'],
    })
  })
})

describe('cron', () => {
  it('does not run', async () => {
    clinic.command('pgrep', 'exit 1')
    expect(await found()).toEqual({
      code: 1,
      lines: ['wrong cron daemon: does not run: nothing is backed up by the clock'],
    })
  })

  it('is known to systemd alone', async () => {
    clinic.command('pgrep', 'exit 1')
    clinic.command('systemctl', '[[ $* == "is-active --quiet cron" ]]')
    expect(await found()).toEqual({ code: 0, lines: [] })
  })

  const line = (title: string) => new RegExp(`^.*${title}.*\n`, 'm')
  it.each<[string, (own: string) => string | undefined, string[]]>([
    [
      'there is no crontab',
      () => undefined,
      ['wrong cron crontab: has no line of this toolkit: nothing is backed up by the clock'],
    ],
    [
      'all is commented out',
      (own) => own.replaceAll(/^(?=\d)/gm, '# '),
      ['wrong cron crontab: has no line of this toolkit: nothing is backed up by the clock'],
    ],
    [
      'a line is missing',
      (own) => own.replace(line('backup-mello.ts'), ''),
      [
        'wrong cron backup-mello --only user-data --to r2: is not installed: by the clock nothing brings user-data, user-outputs to r2',
      ],
    ],
    [
      'a flag is misspelt',
      (own) => own.replace('--only containers', '--olny containers'),
      [
        expect.stringMatching(
          /^wrong cron backup-verda --olny containers --to r2: \(25 4 \* \* \*\) fails: --olny is not known; "containers" is no flag\. Known are/,
        ),
        expect.stringMatching(/^wrong cron backup-verda --only containers --to r2: is not installed/),
      ],
    ],
    [
      'paths lead nowhere',
      (own) => own.replaceAll('/toolkit/', '/gone/'),
      [
        "wrong cron node: no node in cron's PATH (FOLDER/gone/bin:/nowhere): every line fails",
        ...[
          'backup-verda --only config,scripts',
          'backup-verda --only containers',
          'backup-mello --only user-data',
        ].map((title) =>
          expect.stringMatching(
            new RegExp(
              `^wrong cron ${title} --to r2: \\(.*\\) fails: \\S+/gone/node_modules/.bin/tsx is not there; \\S+/gone/scripts/backup-\\w+.ts is not there$`,
            ),
          ),
        ),
      ],
    ],
    [
      'the log has no folder',
      (own) => own.replaceAll('/log/comfyume', '/no-log/comfyume'),
      ['config,scripts', 'containers', 'user-data'].map((only) =>
        expect.stringMatching(
          new RegExp(
            `^wrong cron backup-\\w+ --only ${only} --to r2: .* fails: FOLDER/no-log/comfyume-backup.log cannot be made$`.replace(
              'FOLDER',
              '\\S+',
            ),
          ),
        ),
      ),
    ],
    [
      'no log at all',
      (own) => own.replace(/(backup-mello.ts.*) >>.*/, '$1'),
      [
        'warning cron backup-mello --only user-data --to r2: (40 * * * *) writes no log: what fails is not seen',
      ],
    ],
    [
      'an old script is still there',
      (own) => `${own}0 * * * * /home/dev/projects/comfymulti-scripts/backup-mello.sh\n`,
      ['warning cron backup-mello.sh: the old script is still run by cron'],
    ],
    [
      'the log is kept by nobody',
      (own) => own.replace(line('-size'), ''),
      ['warning cron log: no line keeps the log from growing for ever'],
    ],
    [
      'the outputs go once a day, in a line of their own',
      (own) =>
        own.replace(/^40 .*backup-mello.ts --only user-data/m, '$& --quick') +
        (/^40 .*$/m.exec(own)?.[0].replace('40 *', '55 5').replace('user-data', 'user-outputs') ?? ''),
      [],
    ],
  ])('%s', async (_, change, lines) => {
    const changed = change(clinic.ownCrontab('mello').replace(/^(PATH=[^:]*).*$/m, '$1:/nowhere'))
    clinic.crontab(changed)
    const inFolder = lines.map((one) =>
      typeof one === 'string' ? one.replace('FOLDER', clinic.folder) : one,
    )
    const code = changed === undefined || JSON.stringify(lines).includes('wrong') ? 1 : undefined
    const seen = await found()
    expect(seen.lines).toEqual(inFolder)
    if (code !== undefined) expect(seen.code).toBe(code)
    else if (lines.length === 0) expect(seen.code).toBe(0)
  })
})

describe('sources', () => {
  const project = 'home/dev/comfyume-v1'
  const { verda, mello } = {
    verda: (...names: string[]) => path.join(clinic.workshop.verda.root, ...names),
    mello: (...names: string[]) => path.join(clinic.workshop.mello, ...names),
  }
  it.each<[string, () => void, string]>([
    [
      'the identity is gone',
      () => rmSync(verda('var/lib/tailscale/tailscaled.state')),
      'wrong sources tailscale: /var/lib/tailscale on verda: no file with content',
    ],
    [
      'the identity has another name',
      () => {
        rmSync(verda('var/lib/tailscale/tailscaled.state'))
        writeFileSync(verda('var/lib/tailscale/derp.json'), '{}')
      },
      'wrong sources tailscale: /var/lib/tailscale on verda: has no */tailscaled.state, without which it is no backup',
    ],
    [
      'a folder is gone',
      () => rmSync(verda('etc/ufw'), { recursive: true }),
      'wrong sources ufw: /etc/ufw on verda: missing',
    ],
    [
      'the private host keys are gone',
      () => {
        for (const kind of ['rsa', 'ed25519']) rmSync(verda(`etc/ssh/ssh_host_${kind}_key`))
      },
      'wrong sources ssh-host-keys: /etc/ssh/ssh_host_* on verda: has no */ssh_host_*_key, without which it is no backup',
    ],
    [
      'a file of the credentials is empty',
      () => writeFileSync(mello(project, 'nginx/.htpasswd'), ''),
      `wrong sources credentials: /${project}/nginx/.htpasswd on mello: no file with content`,
    ],
    [
      'an image is not there',
      () => rmSync(path.join(clinic.folder, 'images/comfyume-admin'), { recursive: true }),
      'wrong sources comfyume-admin: there is no image comfyume-admin:latest on verda',
    ],
    [
      'a model is a link to nowhere',
      () => symlinkSync('/nowhere', verda('mnt/sfs/models/loras/gone.safetensors')),
      'wrong sources models: 2 models, 17 bytes, in /mnt/sfs/models on verda; links to nowhere, or names that no bucket can have: loras/gone.safetensors',
    ],
    [
      'a model has another type',
      () => writeFileSync(verda('mnt/sfs/models/loras/old.ckpt'), 'x'),
      'warning sources models: 2 models, 17 bytes, in /mnt/sfs/models on verda; no rule covers loras/old.ckpt',
    ],
    [
      'a restore is half done',
      () => clinic.workshop.verda.write(restoringMarker, ''),
      `wrong sources verda: is half restored (ROOT${restoringMarker} is there): no backup captures it`,
    ],
  ])('%s', async (_, seed, line) => {
    seed()
    expect(await found()).toEqual({
      code: line.startsWith('wrong') ? 1 : 0,
      lines: [line.replace('ROOT', verda())],
    })
  })
})

describe("Mello's copies, the repository and the monitoring", () => {
  it.each([
    [1e9, 1, 'wrong', 'can be written to and has 954 MB free'],
    [10e9, 0, 'warning', 'can be written to and has 9.3 GB free: less than the 25 GB of homes and images'],
  ])('%d bytes free', async (bytes, code, status, words) => {
    clinic.freeBytes(bytes, 'backups')
    expect(await found()).toEqual({
      code,
      lines: [`${status} stores mello: ${clinic.workshop.backups} ${words}`],
    })
  })

  it('a share on Verda that is full', async () => {
    clinic.freeBytes(1e9, 'sfs')
    expect(await found()).toEqual({
      code: 1,
      lines: [`wrong mounts room: ${clinic.workshop.verda.sfs} has 954 MB free`],
    })
  })

  it('a folder that cannot be made', async () => {
    writeFileSync(clinic.workshop.backups, 'a file')
    const { code, lines } = await found()
    expect(code).toBe(1)
    expect(lines).toEqual([
      expect.stringMatching(/^wrong stores mello: .*cannot be written to: mkdir: .*File exists/),
    ])
  })

  it('disks that hang are given up, and everything else is told', { timeout: 90_000 }, async () => {
    clinic.command('mktemp', '[[ $1 == --version ]] || exec sleep 1000')
    clinic.command('stat', '[[ $1 == -f ]] && exec sleep 1000; exec /usr/bin/stat "$@"')
    expect(await found()).toEqual({
      code: 1,
      lines: [
        `wrong mounts room: ${clinic.workshop.verda.sfs} does not answer on Verda`,
        `wrong stores mello: ${clinic.workshop.backups} did not answer for 20 s: the share hangs`,
      ],
    })
  })

  it('a repository that is not there', async () => {
    rmSync(clinic.workshop.repository, { recursive: true })
    const { code, lines } = await found()
    expect(code).toBe(1)
    expect(lines).toEqual([
      expect.stringContaining(`wrong stores git: ${clinic.workshop.repository} cannot be read: fatal:`),
    ])
  })

  it('a monitoring service that does not answer', async () => {
    expect(await found({ BACKUP_PING_URL: 'http://127.0.0.1:9/hidden-key' })).toEqual({
      code: 1,
      lines: [
        'wrong ping service: 127.0.0.1:9 cannot be reached (ECONNREFUSED): runs go on, but nobody is told how they end',
      ],
    })
  })

  it('no monitoring service', async () => {
    expect(await found({ BACKUP_PING_URL: '' })).toEqual({
      code: 0,
      lines: [
        'warning ping service: BACKUP_PING_URL is not set: nobody is told when a backup fails, or never starts',
      ],
    })
  })
})

it('leaves nothing behind on this machine but the folder of the copies', async () => {
  await clinic.doctor()
  expect(existsSync(clinic.workshop.backups)).toBe(true)
  expect(clinic.workshop.onMello('')).toEqual([])
  expect(readFileSync(path.join(clinic.folder, 'installed-crontab'), 'utf8')).toBe(clinic.ownCrontab('mello'))
})
