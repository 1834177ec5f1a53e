import { existsSync, statSync } from 'node:fs'
import path from 'node:path'
import { has, must, sh } from '../hosts/shell.ts'
import { ByHand, type SetupStep } from './run.ts'

/** Updates the toolkit's code and packages. Works for a clone and for a restored toolkit without .git. */
export function updateSteps(toolkit: string, repository: string | undefined): SetupStep[] {
  return [codeStep(toolkit, repository), dependenciesStep(toolkit)]
}

function codeStep(toolkit: string, repository: string | undefined): SetupStep {
  const isClone = existsSync(path.join(toolkit, '.git'))
  const git = (...args: string[]) => must(sh`git -C ${toolkit} ${args}`)
  return {
    name: 'code',
    title: isClone
      ? 'the newest commit of its branch, by git pull --ff-only'
      : 'a clone of SCRIPTS_REPO around what is there',
    async done() {
      const owner = statSync(toolkit).uid
      if (owner !== process.getuid?.())
        throw new Error(`${toolkit} belongs to user number ${owner}: run this as that user`)
      if (!isClone) return undefined
      const [ours, theirs] = [await git('rev-parse', 'HEAD'), await git('ls-remote', 'origin', 'HEAD')]
      return theirs.startsWith(ours) ? `at the newest commit, ${ours.slice(0, 12)}` : undefined
    },
    async do() {
      if (isClone) {
        const changed = await git('status', '--porcelain', '--untracked-files=no')
        if (changed !== '')
          throw new ByHand(`files were changed here: ${changed.replaceAll('\n', ', ')}`, 'Put them aside', [
            `git -C ${toolkit} stash`,
          ])
        await git('pull', '--quiet', '--ff-only')
      } else {
        if (repository === undefined)
          throw new Error(`${toolkit} has no .git, and SCRIPTS_REPO is not set: set it in ${toolkit}/.env`)
        await git('init', '--quiet')
        await git('remote', 'add', 'origin', repository)
        await git('fetch', '--quiet', 'origin', 'HEAD')
        await git('reset', '--quiet', 'FETCH_HEAD')
        // A file that differs is older or someone's own change: git keeps it.
        if ((await git('status', '--porcelain', '--untracked-files=no')) !== '')
          await git('-c', 'user.name=comfyume-backup', '-c', 'user.email=root@localhost', 'stash', '--quiet')
      }
      return `now at ${(await git('rev-parse', 'HEAD')).slice(0, 12)}`
    },
  }
}

function dependenciesStep(toolkit: string): SetupStep {
  return {
    name: 'packages of npm',
    title: 'those that package-lock.json names, by npm ci --omit=dev',
    async done() {
      if (!(await has('npm')))
        throw new ByHand(
          'there is no npm here',
          'Install Node with its npm from nodejs.org or NodeSource, then',
          [`cd ${toolkit} && npm ci --omit=dev`],
        )
      const { exitCode } = await sh`cd ${toolkit} && npm ls --omit=dev --all`
      return exitCode === 0 ? 'all there' : undefined
    },
    async do() {
      await must(sh`cd ${toolkit} && npm ci --omit=dev --no-progress`)
      return 'installed'
    },
  }
}
