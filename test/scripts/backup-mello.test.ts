import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { settle } from './verda.ts'
import { buildWorkshop, cacheBucket, reportIn, userFilesBucket, type Workshop } from './workshop.ts'

let workshop: Workshop
afterEach(() => workshop.dispose())

const project = 'home/dev/comfyume-v1'

it('names the archives of the users by the hour, and pushes their credentials', async () => {
  workshop = await buildWorkshop()
  const run = await workshop.backupMello()
  expect(run.stderr).toBe('')
  expect(run.code).toBe(0)
  const archives = workshop.r2.keys(userFilesBucket).filter((key) => key.endsWith('.tar.gz'))
  expect(archives).toEqual(['user-data-2026-11-24-10.tar.gz', 'user-outputs-2026-11-24-10.tar.gz'])
  expect(workshop.git('show', 'HEAD:.env')).toBe('PASSWORD=pa$$word')
  expect(workshop.git('show', 'HEAD:nginx/.htpasswd')).toBe('user001:$apr1$hash')
  expect(workshop.r2.keys(cacheBucket)).toContain('runs/backup-mello-2026-11-24-10-00-00.json')
})

it('writes and pushes nothing when nothing changed, and only the changed archive when one did', async () => {
  workshop = await buildWorkshop()
  await workshop.backupMello()
  const head = workshop.git('rev-parse', 'HEAD')
  workshop.write(`${project}/data/outputs/user002/picture.png`, 'picture')
  settle()
  const report = reportIn(await workshop.backupMello(['--json'], { BACKUP_NOW: '2026-11-24T11:00:00Z' }))
  expect(
    Object.fromEntries(report.items.map(({ item, status }: Record<string, string>) => [item, status])),
  ).toEqual({
    'user-data': 'unchanged',
    'user-outputs': 'stored',
    credentials: 'unchanged',
  })
  expect(workshop.git('rev-parse', 'HEAD')).toBe(head)
})

it('--limit wins over UPLOAD_LIMIT, and is refused where nothing is uploaded', async () => {
  workshop = await buildWorkshop()
  const { limit, seconds } = { limit: '256K', seconds: 4 }
  workshop.write(`${project}/data/outputs/user002/large`, randomBytes(seconds * 256 * 1024))
  const began = performance.now()
  const run = await workshop.backupMello(['--only', 'user-outputs', '--limit', limit], { UPLOAD_LIMIT: '1G' })
  expect(run.code).toBe(0)
  expect(performance.now() - began).toBeGreaterThan(0.6 * seconds * 1000)
  const slow = await workshop.backupMello(['--limit', '1K'])
  expect(slow).toMatchObject({ code: 2, stderr: expect.stringContaining('--limit takes a size a second') })
  const cron = await workshop.verda.cron(['--limit', '20M'])
  expect(cron).toMatchObject({ code: 2, stderr: expect.stringContaining('nothing here goes there') })
})

it('--quick leaves the outputs out', async () => {
  workshop = await buildWorkshop()
  await workshop.backupMello(['--quick'])
  const archives = workshop.r2.keys(userFilesBucket).filter((key) => key.endsWith('.tar.gz'))
  expect(archives).toEqual(['user-data-2026-11-24-10.tar.gz'])
})

it('the remedy for shrunken user data accepts nothing else, and works as it is printed', async () => {
  workshop = await buildWorkshop()
  const large = (folder: string, bytes: number) =>
    workshop.write(`${project}/data/${folder}/user001/large`, 'x'.repeat(bytes))
  for (const folder of ['workflows', 'outputs']) large(folder, 10_000)
  settle()
  await workshop.backupMello(['--only', 'user-data'])
  for (const folder of ['workflows', 'outputs']) large(folder, 1000)
  settle()
  const later = { BACKUP_NOW: '2026-11-24T11:00:00Z' }
  const refused = await workshop.backupMello(['--only', 'user-data'], later)
  const remedies = [...refused.stdout.matchAll(/run once: comfyume-backup backup-mello (.*)/g)].map(
    ([, args]) => args,
  )
  expect([...new Set(remedies)].sort()).toEqual([
    '--only item:user-data --accept-shrink',
    '--only user-outputs --accept-shrink',
  ])
  const accepted = reportIn(
    await workshop.backupMello([...(remedies[0] as string).split(' '), '--json'], later),
  )
  expect(accepted.items.map(({ item, status }: Record<string, string>) => [item, status])).toEqual([
    ['user-data', 'stored'],
  ])
})

it('commits changed credentials on top of what others pushed, and never by force', async () => {
  workshop = await buildWorkshop()
  await workshop.backupMello(['--only', 'credentials'])
  const clone = path.join(workshop.verda.folder, 'elsewhere')
  execFileSync('git', ['clone', '--quiet', workshop.repository, clone])
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', clone, '-c', 'user.name=o', '-c', 'user.email=o@o', ...args])
  git('commit', '--quiet', '--allow-empty', '-m', 'from elsewhere')
  git('push', '--quiet')
  workshop.write(`${project}/.env`, 'PASSWORD=another one\n')
  const run = await workshop.backupMello(['--only', 'credentials'])
  expect(run.code).toBe(0)
  expect(workshop.git('log', '--format=%s').split('\n')).toEqual([
    expect.stringContaining('credentials of mello (production)'),
    'from elsewhere',
    expect.stringContaining('credentials of mello (production)'),
  ])
})

it('a push that is refused fails the item, names no secret, and loses nothing', async () => {
  workshop = await buildWorkshop()
  await workshop.backupMello(['--only', 'credentials'])
  execFileSync('bash', [
    '-c',
    'printf "#!/bin/sh\\nexit 1\\n" > "$1" && chmod +x "$1"',
    'hook',
    path.join(workshop.repository, 'hooks/pre-receive'),
  ])
  workshop.write(`${project}/.env`, 'PASSWORD=newer\n')
  const run = await workshop.backupMello(['--only', 'credentials'])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('git push')
  expect(run.stdout).toContain('nothing is lost')
  expect(run.stdout).not.toContain('newer')
  expect(workshop.git('show', 'HEAD:.env')).toBe('PASSWORD=pa$$word')
})

it('a repository that cannot be read fails the credentials alone, without the token in its address', async () => {
  workshop = await buildWorkshop()
  const address = 'http://user:t0ken-of-git@127.0.0.1:9/x.git'
  const run = await workshop.backupMello([], { CREDENTIALS_REPO: address })
  expect(run.code).toBe(1)
  expect(run.stdout).toContain('stored user-data -> r2')
  expect(run.stdout).toContain('git clone')
  expect(run.stdout + run.stderr).not.toContain('t0ken-of-git')
})

it('skips the credentials where no repository is set, and says so', async () => {
  workshop = await buildWorkshop()
  const run = await workshop.backupMello([], { CREDENTIALS_REPO: '' })
  expect(run.code).toBe(0)
  expect(run.stdout).toContain('skipped credentials: CREDENTIALS_REPO is not set')
})

it.each([
  ['missing', () => rmSync(path.join(workshop.mello, project, 'nginx/.htpasswd')), 'cannot be read on mello'],
  ['empty', () => workshop.write(`${project}/.env`, ''), 'is empty'],
  ['shrunken', () => workshop.write(`${project}/.env`, 'P\n'), 'shrank from'],
])('law 5: credentials that are %s fail, and the repository keeps what it has', async (how, spoil, words) => {
  workshop = await buildWorkshop()
  await workshop.backupMello(['--only', 'credentials'])
  const head = workshop.git('rev-parse', 'HEAD')
  spoil()
  const planned = await workshop.backupMello(['--only', 'credentials', '--dry-run'])
  // What the repository holds is not asked, so only a run can know that a file shrank.
  expect(planned.code).toBe(how === 'shrunken' ? 0 : 1)
  if (planned.code === 1) expect(planned.stdout).toMatch(new RegExp(`^PROBLEM credentials: .*${words}`, 'm'))
  const run = await workshop.backupMello(['--only', 'credentials'])
  expect(run.code).toBe(1)
  expect(run.stdout).toContain(words)
  expect(workshop.git('rev-parse', 'HEAD')).toBe(head)
})

it('writes no file through a link that the repository holds', async () => {
  workshop = await buildWorkshop()
  const clone = path.join(workshop.verda.folder, 'hostile')
  const victim = path.join(workshop.verda.folder, 'victim')
  execFileSync('bash', [
    '-c',
    'git clone -q "$1" "$2" 2>/dev/null; cd "$2"; ln -s "$3" .env; git add .env; git -c user.name=h -c user.email=h@h commit -qm hostile; git push -q origin HEAD; echo safe > "$3"',
    'x',
    workshop.repository,
    clone,
    victim,
  ])
  // The link is longer than the file it replaces; sizes do not matter in this test.
  const run = await workshop.backupMello(['--only', 'credentials', '--accept-shrink'])
  expect(execFileSync('cat', [victim]).toString()).toBe('safe\n')
  expect(run.code).toBe(0)
})

describe('the attributes of the repository', () => {
  const push = (attributes: string) =>
    execFileSync('bash', [
      '-c',
      'git clone -q "$1" "$2" 2>/dev/null; cd "$2"; printf "%s\\n" "$3" > .gitattributes; git add .; git -c user.name=x -c user.email=x@x commit -qm attributes; git push -q origin HEAD',
      'x',
      workshop.repository,
      path.join(workshop.verda.folder, 'attributes'),
      attributes,
    ])

  it.each(['* text=auto eol=lf', '* text ident', '.env working-tree-encoding=UTF-16'])(
    'change nothing of what is pushed: %s',
    async (attributes) => {
      workshop = await buildWorkshop()
      push(attributes)
      workshop.write(`${project}/.env`, 'A=$Id$\r\nB=\u00e9\r\n')
      const run = await workshop.backupMello(['--only', 'credentials'])
      expect(run.code, run.stdout).toBe(0)
      const pushed = execFileSync('git', ['--git-dir', workshop.repository, 'cat-file', 'blob', 'HEAD:.env'])
      expect(pushed.toString()).toBe('A=$Id$\r\nB=\u00e9\r\n')
      expect((await workshop.backupMello(['--only', 'credentials'])).stdout).toContain(
        'unchanged credentials',
      )
      const to = path.join(workshop.verda.folder, 'back')
      const back = await workshop.verda.restore(['--only', 'credentials', '--yes', '--root', to], {
        env: { CREDENTIALS_REPO: workshop.repository },
      })
      expect(back.code, back.stdout + back.stderr).toBe(0)
      expect(readFileSync(path.join(to, project, '.env'), 'utf8')).toBe('A=$Id$\r\nB=\u00e9\r\n')
    },
  )

  it('a filter that encrypts, and is not set up here, is refused: nothing is pushed in the clear', async () => {
    workshop = await buildWorkshop()
    push('.env filter=git-crypt diff=git-crypt')
    const head = workshop.git('rev-parse', 'HEAD')
    const run = await workshop.backupMello(['--only', 'credentials'])
    expect(run.code).toBe(1)
    expect(run.stdout).toContain('sends .env through the filter git-crypt')
    expect(workshop.git('rev-parse', 'HEAD')).toBe(head)
  })
})

it('all that the server says of a push that it refuses is told', async () => {
  workshop = await buildWorkshop()
  await workshop.backupMello(['--only', 'credentials'])
  const hook = path.join(workshop.repository, 'hooks/pre-receive')
  writeFileSync(
    hook,
    '#!/bin/sh\necho "The branch is protected."\necho "Ask the owner for the role Maintainer."\nexit 1\n',
    {
      mode: 0o755,
    },
  )
  workshop.write(`${project}/.env`, 'PASSWORD=newer\n')
  const run = await workshop.backupMello(['--only', 'credentials'])
  expect(run.stdout).toContain('The branch is protected.')
  expect(run.stdout).toContain('Ask the owner for the role Maintainer.')
})
