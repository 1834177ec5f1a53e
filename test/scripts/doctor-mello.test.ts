import {
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { restoringMarker } from '../../lib/inventory.ts'
import { thorough } from '../thorough.ts'
import { buildClinic, type Clinic } from './clinic.ts'

let clinic: Clinic
beforeEach(async () => {
  clinic = await buildClinic()
})
afterEach(() => clinic.dispose())

const unseen =
  'warning stores r2 deletion: whether this key may delete, and whether the buckets are locked, cannot be seen from here: doctor never tries'

/** One per line of Mello's crontab. */
const checks = [
  'backup-verda-config-scripts-r2',
  'backup-verda-containers-r2',
  'backup-mello-user-data-r2',
  'verify-default',
]

/** The complaints, except what no key can show; a quick run checks only the group that the test names. */
async function found(env: Record<string, string> = {}, group?: string) {
  const args = group === undefined || thorough ? [] : ['--only', group]
  const { code, lines } = await clinic.complaints('mello', env, args)
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
  expect(clinic.service.pings.sort()).toEqual(checks.map((check) => `/key-of-the-checks/${check}/log`).sort())
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
        'wrong settings BACKUP_NOW: every run takes 2026-01-02T00:00:00.000Z as the current time, for names, records and rotation',
      ],
    ],
    ['a line is none', () => ['R2_KEY: x\n'], 2, ['wrong settings .env: line 1 is not NAME=value']],
  ])('%s', async (_, file, code, lines) => {
    const name = path.join(clinic.toolkit, '.env')
    clinic.dotEnv(...file(name))
    // An empty environment variable still wins over .env.
    clinic.settings.BACKUP_NOW = undefined as never
    expect(await found({}, 'settings')).toEqual({
      code,
      lines: lines.map((line) => line.replace('FILE', name)),
    })
  })

  it('a mistyped name is told with the one that was meant', async () => {
    clinic.dotEnv('R2_ACESS_KEY_ID=x\nENTIRELY_FOREIGN=y\n')
    const { stdout } = await clinic.doctor(['--only', 'settings'])
    expect(stdout).toContain('-> did you mean R2_ACCESS_KEY_ID? Rename it, or delete the line\n')
    expect(stdout).toContain('-> delete the line from .env; .env.example')
  })

  it('every wrong one is told, what depends on them is left out, and the rest is looked at all the same', async () => {
    const { code, lines } = await found({ ENVIRONMENT: 'prod', VERDA_SSH: '-x', R2_ACCESS_KEY_ID: '' })
    expect(code).toBe(2)
    expect(lines.filter((line) => line.startsWith('wrong'))).toEqual([
      'wrong settings ENVIRONMENT: must be one of production, staging, testing; it is "prod"',
      'wrong settings VERDA_SSH: must be a destination for ssh, or local',
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
      lines: ["warning settings CREDENTIALS_REPO: is not set: the users' credentials are not backed up"],
    })
  })
})

describe('tools', () => {
  it.each([
    ['tar', 'echo "tar (GNU tar) 1.26"', 'tar (GNU tar) 1.26 is too old'],
    ['find', 'echo "BusyBox v1.36"', `BIN/find is not GNU findutils (BusyBox v1.36)`],
    ['bash', 'echo "GNU bash, version 4.4.20(1)-release"', 'GNU bash, version 4.4.20(1)-release is too old'],
  ])('another %s', async (name, script, words) => {
    // This machine's bash must run the scripts themselves.
    clinic.command(name, `[[ $1 == --version ]] || exec /usr/bin/${name} "$@"; ${script}`)
    expect(await found({}, 'tools')).toEqual({
      code: 1,
      lines: [`wrong tools ${name}: ${words.replace('BIN', path.join(clinic.folder, 'bin'))}`],
    })
  })
})

describe('clock', () => {
  it('another time zone', async () => {
    clinic.zone('Europe/London')
    expect(await found({}, 'clock')).toEqual({
      code: 1,
      lines: ['wrong clock time zone: is Europe/London: cron uses it, and every schedule here is in UTC'],
    })
  })

  it('no time server', async () => {
    clinic.zone('Etc/UTC', 'no')
    expect(await found({}, 'clock')).toEqual({
      code: 0,
      lines: ['warning clock time server: does not set this clock'],
    })
  })
})

describe('cron', () => {
  it('does not run', async () => {
    clinic.command('pgrep', 'exit 1')
    expect(await found({}, 'cron')).toEqual({
      code: 1,
      lines: ['wrong cron daemon: does not run: no backup is made on schedule'],
    })
  })

  it('is known to systemd alone', async () => {
    clinic.command('pgrep', 'exit 1')
    clinic.command('systemctl', '[[ $* == "is-active --quiet cron" ]]')
    expect(await found({}, 'cron')).toEqual({ code: 0, lines: [] })
  })

  const line = (title: string) => new RegExp(`^.*${title}.*\n`, 'm')
  it.each<[string, (own: string) => string | undefined, string[]]>([
    [
      'there is no crontab',
      () => undefined,
      ['wrong cron crontab: has no line of this toolkit: no backup is made on schedule'],
    ],
    [
      'all is commented out',
      (own) => own.replaceAll(/^(?=\d)/gm, '# '),
      ['wrong cron crontab: has no line of this toolkit: no backup is made on schedule'],
    ],
    [
      'a line is missing',
      (own) => own.replace(line('backup-mello.ts'), ''),
      [
        'wrong cron backup-mello --only user-data --to r2: is not installed: no line backs up user-data, user-outputs to r2',
      ],
    ],
    [
      'none reads the archives back',
      (own) => own.replace('verify.ts --bytes 200G', 'verify.ts --drill'),
      ['wrong cron verify --bytes 200G: is not installed: no line reads archives back'],
    ],
    [
      'a flag is misspelt',
      (own) => own.replace('--only containers', '--olny containers'),
      [
        expect.stringMatching(
          /^wrong cron backup-verda --olny containers --to r2: \(25 4 \* \* \*\) fails: --olny is not known; did you mean --only\?; "containers" is not a flag/,
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
          'backup-verda --only config,scripts --to r2',
          'backup-verda --only containers --to r2',
          'backup-mello --only user-data --to r2',
          'verify --bytes 200G',
        ].map((title) =>
          expect.stringMatching(
            new RegExp(
              `^wrong cron ${title}: \\(.*\\) fails: \\S+/gone/node_modules/.bin/tsx does not exist; \\S+/gone/scripts/[\\w-]+.ts does not exist$`,
            ),
          ),
        ),
      ],
    ],
    [
      'the log has no folder',
      (own) => own.replaceAll('/log/comfyume', '/no-log/comfyume'),
      ['--only config,scripts', '--only containers', '--only user-data', '--bytes 200G'].map((only) =>
        expect.stringMatching(
          new RegExp(
            `^wrong cron [\\w-]+ ${only}.*: .* fails: FOLDER/no-log/comfyume-backup.log cannot be created$`.replace(
              'FOLDER',
              '\\S+',
            ),
          ),
        ),
      ),
    ],
    [
      'no log at all',
      (own) => own.replace(/exec \S+ 2>&1; (.*backup-mello.ts)/, '$1'),
      [
        'warning cron backup-mello --only user-data --to r2: (40 * * * *) writes no log: failures stay unseen',
      ],
    ],
    [
      'an old script is still there',
      (own) => `${own}0 * * * * /home/dev/projects/comfymulti-scripts/backup-mello.sh\n`,
      ['warning cron backup-mello.sh: cron still runs the old script'],
    ],
    [
      'the log is kept by nobody',
      (own) => own.replace(line('-size'), ''),
      ['warning cron log: no line limits the size of the log'],
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
    const seen = await found({}, 'cron')
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
  it.each<[string, () => void, string | RegExp | []]>([
    [
      'the identity is gone',
      () => rmSync(verda('var/lib/tailscale/tailscaled.state')),
      /^wrong sources tailscale: .*\/var\/lib\/tailscale.*no file has content/,
    ],
    [
      'the identity has another name',
      () => {
        rmSync(verda('var/lib/tailscale/tailscaled.state'))
        writeFileSync(verda('var/lib/tailscale/derp.json'), '{}')
      },
      /^wrong sources tailscale: .* has no \*\/tailscaled\.state with content; without that it is not a backup/,
    ],
    [
      'the identity is sealed by a TPM, so that no other machine could use it',
      () =>
        writeFileSync(
          verda('var/lib/tailscale/tailscaled.state'),
          JSON.stringify({ key: 'a', nonce: 'b', data: 'c' }),
        ),
      /^wrong sources tailscale: .*sealed with the TPM/,
    ],
    [
      'a required folder is only a link to elsewhere',
      () => {
        renameSync(verda('etc/ufw'), verda('etc/ufw-elsewhere'))
        symlinkSync('ufw-elsewhere', verda('etc/ufw'))
      },
      /^wrong sources ufw: .*\/etc\/ufw.* is only a link/,
    ],
    [
      'an optional folder is a link: the backup warns, and so does doctor',
      () => {
        rmSync(verda('etc/ssl'), { recursive: true, force: true })
        clinic.workshop.verda.write('etc/letsencrypt/live/x/privkey.pem', 'key')
        symlinkSync('/srv/ssl', verda('etc/ssl'))
      },
      expect.stringMatching(/^warning sources ssl: .*\/etc\/ssl\S* is a link/),
    ],
    [
      'a folder is gone',
      () => rmSync(verda('etc/ufw'), { recursive: true }),
      /^wrong sources ufw: .*\/etc\/ufw.* missing/,
    ],
    [
      'the private host keys are gone',
      () => {
        for (const kind of ['rsa', 'ed25519']) rmSync(verda(`etc/ssh/ssh_host_${kind}_key`))
      },
      /^wrong sources ssh-host-keys: .* has no \*\/ssh_host_\*_key with content; without that/,
    ],
    [
      'a file of the credentials is empty',
      () => writeFileSync(mello(project, 'nginx/.htpasswd'), ''),
      /^wrong sources credentials: .*nginx\/\.htpasswd.*no file has content/,
    ],
    [
      'an optional folder is empty, as on every Debian: the backup takes it as well',
      () => {
        rmSync(verda('etc/ssl'), { recursive: true, force: true })
        clinic.workshop.verda.write('etc/letsencrypt/live/x/privkey.pem', 'key')
        mkdirSync(verda('etc/ssl/private'), { recursive: true })
      },
      [],
    ],
    [
      'an image is not there',
      () => rmSync(path.join(clinic.folder, 'images/comfyume-admin'), { recursive: true }),
      /^wrong sources comfyume-admin: there is no image comfyume-admin:latest on verda/,
    ],
    [
      'a model is a link to nowhere',
      () => symlinkSync('/nowhere', verda('mnt/sfs/models/loras/gone.safetensors')),
      "wrong sources models: 2 models, 17 bytes, in /mnt/sfs/models on verda; loras/gone.safetensors is a dangling link, leads out of the models' folder, or has a name that no bucket accepts: it is not backed up",
    ],
    [
      'a download of a model is stuck',
      () => {
        writeFileSync(verda('mnt/sfs/models/loras/new.safetensors'), 'x')
        writeFileSync(verda('mnt/sfs/models/loras/new.safetensors.part'), 'x')
        utimesSync(verda('mnt/sfs/models/loras/new.safetensors'), 1e9, 1e9)
      },
      /^wrong sources models: 2 models, .*loras\/new.safetensors is not whole yet .*has not grown for a day/,
    ],
    [
      'the toolkit is not there, which every restore needs',
      () => rmSync(verda('opt/comfyume-backup'), { recursive: true }),
      /^wrong sources scripts: .*, but every restore needs it/,
    ],
    [
      'a model has another type',
      () => writeFileSync(verda('mnt/sfs/models/loras/old.ckpt'), 'x'),
      'warning sources models: 2 models, 17 bytes, in /mnt/sfs/models on verda; no rule covers loras/old.ckpt',
    ],
    [
      'a restore is unfinished',
      () => clinic.workshop.verda.write(restoringMarker, ''),
      /^wrong sources verda: is half restored \(\S+ exists\): no backup captures it/,
    ],
  ])('%s', async (_, seed, line) => {
    seed()
    const isWrong = line instanceof RegExp || String(line).startsWith('wrong')
    const expected = line instanceof RegExp ? expect.stringMatching(line) : line
    const { code, lines } = await found({}, 'sources')
    // A run of every check also names the Node that is gone with the toolkit.
    const ofSources = lines.filter((one) => !one.startsWith('warning tools runtime: there is no toolkit'))
    expect({ code, lines: ofSources }).toEqual({ code: isWrong ? 1 : 0, lines: [expected].flat() })
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

  it('disks that hang are given up, and everything else is told', async () => {
    clinic.command('mktemp', '[[ $* == */backups* ]] && exec sleep 1000; exec /usr/bin/mktemp "$@"')
    const { sfs } = clinic.workshop.verda
    clinic.command(
      'stat',
      `[[ $1 == -f && \${@: -1} == ${sfs}* ]] && exec sleep 1000; exec /usr/bin/stat "$@"`,
    )
    expect(await found()).toEqual({
      code: 1,
      lines: [
        `wrong mounts room: ${sfs} does not answer on Verda`,
        `wrong stores mello: ${clinic.workshop.backups} did not answer for 20 s: the share hangs. See that its server is up and that this machine may mount it`,
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
    const { code, lines } = await found({ BACKUP_PING_URL: 'http://127.0.0.1:9/hidden-key' })
    expect(code).toBe(1)
    expect(lines).toEqual(
      checks.map((check) =>
        expect.stringMatching(`^wrong ping ${check}: the monitoring service could not be reached: `),
      ),
    )
  })

  it('a check that the monitoring service does not know', async () => {
    clinic.service.unknown.add('backup-verda-containers-r2')
    expect(await found()).toEqual({
      code: 1,
      lines: [
        'wrong ping backup-verda-containers-r2: the monitoring service has no check named backup-verda-containers-r2: create it there. ' +
          'Failures of backup-verda --only containers --to r2 will not be reported',
      ],
    })
  })

  it('without a monitoring service, the checks that it needs are named', async () => {
    const { stdout } = await clinic.doctor(['--only', 'ping'], { BACKUP_PING_URL: '' })
    expect(stdout).toContain(`that they share: ${checks.join(', ')}\n`)
  })

  it('no monitoring service', async () => {
    expect(await found({ BACKUP_PING_URL: '' })).toEqual({
      code: 0,
      lines: ['warning ping service: BACKUP_PING_URL is not set: failed and missed backups are not reported'],
    })
  })
})

it('leaves nothing behind on this machine but the folder of the copies', async () => {
  await clinic.doctor()
  expect(existsSync(clinic.workshop.backups)).toBe(true)
  expect(clinic.workshop.onMello('')).toEqual([])
  expect(readFileSync(path.join(clinic.folder, 'installed-crontab'), 'utf8')).toBe(clinic.ownCrontab('mello'))
})
