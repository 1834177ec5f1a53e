import { rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { shrank } from '../acceptance.ts'
import { stepInto, withFile } from '../files/beneath.ts'
import { makeScratch } from '../files/scratch.ts'
import type { Host } from '../hosts/host.ts'
import { run, TimedOut } from '../hosts/process.ts'
import { sshOptions } from '../hosts/ssh.ts'
import type { Source } from '../inventory.ts'
import { runAgain } from '../text.ts'
import { CaptureError } from './capture.ts'
import { hangs, whyHanging } from './mounts.ts'

export interface RepositoryRun {
  host: Host
  sources: readonly Source[]
  /** Files are stored in the repository by their path below this folder. */
  base: string
  /** A git address. It may contain a token, so it is never printed. */
  repository: string
  /** Folder in the repository, with its slash, or empty. */
  folder: string
  message: string
  acceptShrink: boolean
  /** Called before anything is committed. If it throws, nothing is. */
  atEnd(): Promise<void>
}

interface SecretFile {
  /** The path in the repository. */
  name: string
  content: Buffer
}

/** `key`: the commit that has them. */
interface Pushed {
  status: 'stored' | 'unchanged'
  key: string
  bytes: number
}

/** Reads the files. Throws CaptureError for a missing or empty one. */
export async function readSecrets(run: RepositoryRun): Promise<SecretFile[]> {
  const files: SecretFile[] = []
  for (const source of run.sources) files.push(await readSource(run, source))
  return files
}

/**
 * Commits small secret files to a private git repository and pushes them if they changed, never by force: when
 * another push came first, it starts over on top of that one. Works in a fresh private clone and removes it.
 * Throws CaptureError for a shrunken file, and with git's message.
 */
export async function pushToRepository(run: RepositoryRun, files: readonly SecretFile[]): Promise<Pushed> {
  await run.atEnd()
  for (let attempt = 1; ; attempt++) {
    const outcome = await pushOnce(run, files, attempt < mostAttempts)
    if (outcome !== undefined) return outcome
  }
}

const mostAttempts = 5

/** Undefined, if `mayRetry`, when another push came after the clone. */
async function pushOnce(
  run: RepositoryRun,
  files: readonly SecretFile[],
  mayRetry: boolean,
): Promise<Pushed | undefined> {
  const remote = remoteOf(run.repository)
  const scratch = await makeScratch(tmpdir(), 'comfyume-credentials')
  const clone = path.join(scratch, 'clone')
  const must = async (folder: string, ...args: string[]) => {
    const { exitCode, stdout, stderr } = await git(folder, args, remote)
    if (exitCode !== 0) throw new CaptureError(gitFailure(args[0] ?? '', stderr, remote))
    return stdout.trim()
  }
  try {
    // No checkout, so that the repository's attributes and links cannot alter what is pushed.
    await must(scratch, 'clone', '--quiet', '--depth', '1', '--no-checkout', '--', remote.address, clone)
    const base = (await git(clone, ['rev-parse', '--verify', '--quiet', 'HEAD'], remote)).stdout.trim()
    if (base !== '') await must(clone, 'read-tree', 'HEAD')
    for (const file of files) {
      refuseFilter(file, await filterOf(clone, file.name, '--cached'))
      const size = await git(clone, ['cat-file', '-s', `HEAD:${file.name}`], remote)
      refuseShrunken(file, size.exitCode === 0 ? Number(size.stdout) : 0, run.acceptShrink)
      const copy = path.join(scratch, 'content')
      await writeFile(copy, file.content, { mode: 0o600 })
      const blob = await must(clone, 'hash-object', '-w', '--no-filters', '--', copy)
      await must(clone, 'update-index', '--add', '--replace', '--cacheinfo', `100644,${blob},${file.name}`)
    }
    const { exitCode } = await git(clone, ['diff', '--cached', '--quiet'], remote)
    if (exitCode !== 0) {
      await must(clone, 'commit', '--quiet', '--message', run.message)
      const push = await git(clone, ['push', '--quiet', 'origin', 'HEAD'], remote)
      if (push.exitCode !== 0) {
        const now = (await must(clone, 'ls-remote', 'origin', 'HEAD')).split('\t')[0]
        if (mayRetry && now !== base) return undefined
        throw new CaptureError(gitFailure('push', push.stderr, remote))
      }
    }
    return {
      status: exitCode === 0 ? 'unchanged' : 'stored',
      key: await must(clone, 'rev-parse', 'HEAD'),
      bytes: files.reduce((sum, { content }) => sum + content.length, 0),
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Arguments: the host's root, the file's folder below it, its name. */
const readFileScript = `
${stepInto}${withFile}${hangs}
cd -- "$1" || exit 1
! hangs "./$2/$3" || { echo "its file system does not answer" >&2; exit 1; }
step_into "$2" || { echo "a folder above it is missing, or is a link that another user could change" >&2; exit 1; }
with_file "$3" cat
`

async function readSource({ host, base, folder }: RepositoryRun, source: Source): Promise<SecretFile> {
  const args = [host.root, path.relative('/', path.dirname(source.path)), path.basename(source.path)]
  const { stdout, stderr, exitCodes } = await host.run(readFileScript, args, {
    whySilent: whyHanging(host, [source.path]),
  })
  if (exitCodes.some((code) => code !== 0)) {
    throw new CaptureError(
      `${source.path} cannot be read on ${host.name}: ${stderr.trim().split('\n').at(-1)}`,
    )
  }
  if (stdout.length === 0)
    throw new CaptureError(`${source.path} on ${host.name} is empty: that is no backup`)
  return { name: folder + path.relative(base, source.path), content: stdout }
}

function refuseShrunken({ name, content }: SecretFile, before: number, acceptShrink: boolean): void {
  if (content.length * 2 >= before || acceptShrink) return
  throw new CaptureError(
    `${name} ${shrank(before, content.length)}: the repository keeps what it has. If that is right, run once: comfyume-backup backup-mello --only credentials --accept-shrink`,
  )
}

/** The filter that .gitattributes sets for a file, such as git-crypt or LFS. */
export async function filterOf(clone: string, name: string, ...where: string[]): Promise<string | undefined> {
  const args = ['check-attr', ...where, '-z', 'filter', '--', name]
  const { stdout } = await git(clone, args, { address: '', environment: {} })
  const [, , value = ''] = stdout.split('\0')
  return ['unspecified', 'unset', 'set', ''].includes(value) ? undefined : value
}

/** A fresh clone has no encryption filter set up, so git would push plain text. */
function refuseFilter({ name }: SecretFile, filter: string | undefined): void {
  if (filter === undefined) return
  throw new CaptureError(
    `the repository's .gitattributes sends ${name} through the filter ${filter}, which cannot be applied here: it would be pushed unencrypted. Remove that line from .gitattributes, or set CREDENTIALS_REPO to a private repository without filters`,
  )
}

function gitFailure(what: string, stderr: string, { address }: Remote): string {
  const said = stderr.split('\n').map((line) => line.trim())
  // Keep all of the server's lines, because the reason is often not in the first one.
  const reasons = said.filter((line) => /^(fatal|error|remote|ssh|!)|rejected|denied/i.test(line))
  const reason = (reasons.length > 0 ? reasons : said.slice(-1)).slice(0, 20).join('; ')
  const advice: Record<string, string> = {
    clone: 'check that CREDENTIALS_REPO is right and that this user can read it without a prompt (BatchMode)',
    push: `nothing is lost; check that this user can push there. Then, or if someone else pushed meanwhile, ${runAgain()}`,
  }
  return `git ${what} of the credentials' repository ${address} failed: ${reason}${advice[what] ? `; ${advice[what]}` : ''}`
}

/** A git address without user and password, which git gets through the environment. */
export interface Remote {
  /** For git's command line. */
  address: string
  environment: Record<string, string>
}

/** The process list would show a token in an address. A credential helper reads it from the environment. */
export function remoteOf(address: string): Remote {
  const url = /^https?:/.test(address) ? new URL(address) : undefined
  if (!url?.username) return { address, environment: {} }
  const { username, password } = url
  url.username = url.password = ''
  return {
    address: url.href,
    environment: {
      COMFYUME_GIT_USER: decodeURIComponent(username),
      COMFYUME_GIT_PASSWORD: decodeURIComponent(password),
      GIT_CONFIG_COUNT: '2',
      // Turns off the user's own helpers, which would store the token.
      GIT_CONFIG_KEY_0: 'credential.helper',
      GIT_CONFIG_VALUE_0: '',
      GIT_CONFIG_KEY_1: 'credential.helper',
      GIT_CONFIG_VALUE_1:
        '!f() { echo "username=$COMFYUME_GIT_USER"; echo "password=$COMFYUME_GIT_PASSWORD"; }; f',
    },
  }
}

export interface GitOutcome {
  exitCode: number
  stdout: string
  /** Trimmed, without user and password in addresses. */
  stderr: string
}

/**
 * Runs git without prompts in a clean environment: a GIT_DIR from a hook would commit the credentials
 * elsewhere, and GIT_TRACE_CURL would print passwords.
 */
export async function git(
  folder: string,
  args: readonly string[],
  { environment }: Remote,
): Promise<GitOutcome> {
  const { exitCode, stdout, stderr } = await run(['git', ...identity, ...args], {
    cwd: folder,
    seconds: gitSeconds,
    env: {
      GIT_TERMINAL_PROMPT: '0',
      GIT_SSH_COMMAND: ['ssh', ...sshOptions()].join(' '),
      ...environment,
    },
  }).catch((error) => {
    if (!(error instanceof TimedOut)) throw error
    return { exitCode: 124, stdout: '', stderr: `fatal: ${error.message}: the server hangs` }
  })
  return { exitCode, stdout, stderr: stderr.trim().replaceAll(/:\/\/[^/@\s]*@/g, '://') }
}

/** A server that takes longer for some small files hangs. */
const gitSeconds = 600

/** No hooks from the machine, and no links from the repository that a write could follow. */
const identity = [
  ['user.name', 'comfyume-backup'],
  ['user.email', 'comfyume-backup@localhost'],
  ['commit.gpgSign', 'false'],
  ['core.hooksPath', '/dev/null'],
  ['core.symlinks', 'false'],
  ['core.autocrlf', 'false'],
].flatMap(([name, value]) => ['-c', `${name}=${value}`])
