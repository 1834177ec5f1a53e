import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { makePlan } from '../../backup/plan.ts'
import { selectItems } from '../../backup/select.ts'
import { git, type Remote, remoteOf } from '../../capture/repository.ts'
import { makeScratch } from '../../files/scratch.ts'
import { within } from '../../hosts/process.ts'
import { environmentFolder, readTime } from '../../naming.ts'
import { messageOf } from '../../text.ts'
import type { Look } from './access.ts'
import type { SeenRepository } from './seen.ts'

/** When the credentials were last committed, and whether they match Mello's. Fetches one commit. */
export async function lookAtRepository(look: Look): Promise<SeenRepository | undefined> {
  const { repositories, environment } = look.settings
  if (repositories.credentials === undefined) return undefined
  const remote = remoteOf(repositories.credentials)
  const scratch = await makeScratch(tmpdir(), 'comfyume-credentials')
  try {
    const clone = path.join(scratch, 'clone')
    const words = ['clone', '--quiet', '--depth', '1', '--bare', '--', remote.address, clone]
    const hangs = () => new Error(`${remote.address} did not answer within a minute`)
    const cloned = await within(60, git(scratch, words, remote), hangs)
    if (cloned.exitCode !== 0) return { problem: complaint(cloned.stderr) }
    const folder = environment === 'production' ? [] : ['--', environment]
    const { exitCode, stdout } = await git(clone, ['log', '-1', '--format=%cI', ...folder], remote)
    const time = exitCode === 0 ? readTime(stdout.trim()) : undefined
    return time ? { time, ...(await compare(look, clone, remote)) } : {}
  } catch (error) {
    return { problem: messageOf(error) }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Compares each file on Mello with its pushed content, by git's name for that content. */
async function compare(
  { settings, vantage, now }: Look,
  clone: string,
  remote: Remote,
): Promise<Pick<SeenRepository, 'changed' | 'uncompared'>> {
  const selected = selectItems({ command: 'backup-mello', only: ['credentials'] })
  const capture = makePlan('backup-mello', selected, settings, now).jobs[0]?.capture
  const changed: string[] = []
  for (const { path: file } of capture?.kind === 'repository' ? capture.sources : []) {
    const { root } = vantage.mello
    const place = (root === '/' ? '' : root) + file
    const { exitCodes, stdout } = await vantage.mello.run('cat -- "$1"', [place], { timeout: 60 })
    if (exitCodes.some((code) => code !== 0)) return { uncompared: `${file} cannot be read on this machine` }
    const folder = environmentFolder(settings.environment)
    const name = folder + path.relative(settings.projectDir.mello, file)
    const pushed = await git(clone, ['rev-parse', '--verify', '--quiet', `HEAD:${name}`], remote)
    if (pushed.stdout.trim() !== blobName(stdout, pushed.stdout.trim().length)) changed.push(name)
  }
  return { changed }
}

/** git's name for content; `length` is 64 for a sha256 repository, else 40. */
function blobName(content: Buffer, length: number): string {
  const hash = createHash(length === 64 ? 'sha256' : 'sha1')
  return hash.update(`blob ${content.length}\0`).update(content).digest('hex')
}

function complaint(stderr: string): string {
  const lines = stderr.split('\n')
  return lines.find((line) => /^(fatal|error)/.test(line)) ?? lines.at(-1) ?? 'git failed'
}
