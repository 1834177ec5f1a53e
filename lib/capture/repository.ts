import { mkdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Host } from '../hosts/host.ts'
import type { Source } from '../inventory.ts'
import type { StoreOutcome } from '../report.ts'
import { makeScratch } from '../scratch.ts'
import { CaptureError } from './capture.ts'
import { git, type Remote, remoteOf } from './git.ts'

export interface RepositoryRun {
  host: Host
  sources: readonly Source[]
  /** The files are kept in the repository by their path below this folder. */
  base: string
  /** A git address; may hold a token, and is never printed. */
  repository: string
  /** Folder in the repository, with its slash, or empty. */
  folder: string
  message: string
  acceptShrink: boolean
}

interface SecretFile {
  /** In the repository. */
  name: string
  content: Buffer
}

/**
 * Commits small secret files to a private git repository and pushes them, only when they changed and never by force: its history
 * keeps every earlier state. The repository is cloned afresh into a folder that only this user can read, and that is gone
 * afterwards. Throws CaptureError for a file that is missing, empty or shrunken, and for what git says when it fails.
 */
export async function pushToRepository(run: RepositoryRun): Promise<StoreOutcome> {
  const files: SecretFile[] = []
  for (const source of run.sources) files.push(await readSource(run, source))
  const remote = remoteOf(run.repository)
  const scratch = await makeScratch(tmpdir(), 'comfyume-credentials')
  const clone = path.join(scratch, 'clone')
  const must = async (folder: string, ...args: string[]) => {
    const { exitCode, stdout, stderr } = await git(folder, args, remote)
    if (exitCode !== 0) throw new CaptureError(gitFailure(args[0] ?? '', stderr, remote))
    return stdout.trim()
  }
  try {
    await must(scratch, 'clone', '--quiet', '--depth', '1', '--', remote.address, clone)
    for (const file of files) await put(clone, file, run.acceptShrink)
    // Forced, because such files are what a .gitignore names.
    await must(clone, 'add', '--force', '--', ...files.map(({ name }) => name))
    const { exitCode } = await git(clone, ['diff', '--cached', '--quiet'], remote)
    if (exitCode !== 0) {
      await must(clone, 'commit', '--quiet', '--message', run.message)
      await must(clone, 'push', '--quiet', 'origin', 'HEAD')
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

async function readSource({ host, base, folder }: RepositoryRun, source: Source): Promise<SecretFile> {
  const file = (host.root === '/' ? '' : host.root) + source.path
  const { stdout, stderr, exitCodes } = await host.run('cat -- "$1"', [file])
  if (exitCodes.some((code) => code !== 0)) {
    throw new CaptureError(
      `${source.path} cannot be read on ${host.name}: ${stderr.trim().split('\n').at(-1)}`,
    )
  }
  if (stdout.length === 0)
    throw new CaptureError(`${source.path} on ${host.name} is empty: that is no backup`)
  return { name: folder + path.relative(base, source.path), content: stdout }
}

async function put(clone: string, { name, content }: SecretFile, acceptShrink: boolean): Promise<void> {
  const file = path.join(clone, name)
  const before = await stat(file).then(
    (about) => about.size,
    () => 0,
  )
  if (content.length * 2 < before && !acceptShrink) {
    throw new CaptureError(
      `${name} shrank from ${before} to ${content.length} bytes: the repository keeps what it has. If that is right, run once with --accept-shrink`,
    )
  }
  await mkdir(path.dirname(file), { recursive: true })
  await writeFile(file, content, { mode: 0o600 })
}

function gitFailure(what: string, stderr: string, { address }: Remote): string {
  const said = stderr.split('\n')
  const reason =
    said.find((line) => /^(fatal|error|remote|ssh|!)|rejected|denied/i.test(line.trim())) ?? said.at(-1) ?? ''
  const advice: Record<string, string> = {
    clone:
      'see that CREDENTIALS_REPO is right and that this user may read it without being asked (BatchMode, no prompt)',
    push: 'nothing is lost; see that this user may push there, and run again: when somebody else pushed meanwhile, that is enough',
  }
  return `git ${what} of the credentials' repository ${address} failed: ${reason.trim()}${advice[what] ? `; ${advice[what]}` : ''}`
}
