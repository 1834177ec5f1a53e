import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { git, remoteOf } from '../capture/git.ts'
import { messageOf } from '../message.ts'
import { makeScratch } from '../scratch.ts'
import type { Settings } from '../settings.ts'
import { readTime } from '../time.ts'
import { within } from '../within.ts'
import type { SeenRepository } from './seen.ts'

/** When the credentials were last committed; undefined where no repository is set. The newest commit alone is fetched, without files. */
export async function lookAtRepository({
  repositories,
  environment,
}: Settings): Promise<SeenRepository | undefined> {
  if (repositories.credentials === undefined) return undefined
  const remote = remoteOf(repositories.credentials)
  const scratch = await makeScratch(tmpdir(), 'comfyume-credentials')
  try {
    const clone = path.join(scratch, 'clone')
    const cloning = git(
      scratch,
      ['clone', '--quiet', '--depth', '1', '--bare', '--', remote.address, clone],
      remote,
    )
    const cloned = await within(
      60,
      cloning,
      () => new Error(`${remote.address} did not answer within a minute`),
    )
    if (cloned.exitCode !== 0) return { problem: complaint(cloned.stderr) }
    const folder = environment === 'production' ? [] : ['--', environment]
    const { exitCode, stdout } = await git(clone, ['log', '-1', '--format=%cI', ...folder], remote)
    const time = exitCode === 0 ? readTime(stdout.trim()) : undefined
    return time ? { time } : {}
  } catch (error) {
    return { problem: messageOf(error) }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

function complaint(stderr: string): string {
  const lines = stderr.split('\n')
  return lines.find((line) => /^(fatal|error)/.test(line)) ?? lines.at(-1) ?? 'git failed'
}
