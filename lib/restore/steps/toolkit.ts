import { constants } from 'node:fs'
import { copyFile, type FileHandle, mkdir, rename } from 'node:fs/promises'
import path from 'node:path'
import { openFile } from '../../files/beneath.ts'
import { must, sh } from '../../hosts/shell.ts'
import { readDotEnv } from '../../settings/env-file.ts'
import { runAgain } from '../../text.ts'
import { below, plannedItem, type RestoreContext, type Step } from '../context.ts'
import { bringBack, isBackAlready, rememberAgain } from '../files/bring-back.ts'
import { latin1, lookThrough } from '../files/paths.ts'
import { withClone } from './clone.ts'

const { O_APPEND, O_CREAT, O_RDONLY, O_WRONLY } = constants

/** The toolkit in the folder that cron uses. Done if it is the one running now. */
export function toolkitStep(context: RestoreContext): Step {
  const { toolkitDir, repositories, environment } = context.settings
  const running = path.resolve(import.meta.dirname, '../../..') === below(context.root, toolkitDir)
  return {
    name: 'scripts',
    title: `This toolkit in ${toolkitDir}`,
    items: ['scripts'],
    async done() {
      if (!context.drill && (await environmentOfCron(context)) !== environment) return undefined
      if (!running) return isBackAlready(context, 'scripts')
      context.outcomes.set('scripts', { item: 'scripts', status: 'unchanged' })
      return 'this toolkit runs from there'
    },
    async do() {
      if (running) context.outcomes.set('scripts', { item: 'scripts', status: 'unchanged' })
      const done = running
        ? { said: 'this toolkit runs from there', changed: false }
        : await bringBack(context, 'scripts', {
            without: (copy) => (copy.environment === environment ? [] : [`${toolkitDir}/.env`]),
            fromRepository: (tree) =>
              clone(repositories.scripts as string, path.join(tree, toolkitDir), context.drill),
          })
      if (context.drill || !(await declareEnvironment(context))) return done
      await rememberAgain(context, 'scripts')
      return { said: `${done.said}; its .env says ENVIRONMENT=${environment} now`, changed: true }
    },
    async check() {
      if (plannedItem(context, 'scripts')?.leftOut === undefined)
        await must(sh`test -e ${below(context.root, toolkitDir)}/package.json`)
      if (!context.drill) await mustNotBeAnothers(context)
    },
  }
}

/** The environment that cron's toolkit writes its backups under. */
async function environmentOfCron(context: RestoreContext): Promise<string> {
  return readDotEnv(await readDotEnvFile(context)).values.ENVIRONMENT ?? 'production'
}

/** Throws when it differs from the restored one: backups would be taken for another machine's. */
export async function mustNotBeAnothers(context: RestoreContext): Promise<void> {
  const [is, wanted] = [await environmentOfCron(context), context.settings.environment]
  if (is !== wanted)
    throw new Error(
      `${dotEnv(context)} says ENVIRONMENT=${is}, and this is ${wanted}: cron would write backups under the names of ${is}. Set it to ${wanted} there, then ${runAgain()}`,
    )
}

/** Adds the environment to a `.env` without one. Returns whether it changed. */
async function declareEnvironment(context: RestoreContext): Promise<boolean> {
  const text = await readDotEnvFile(context)
  const { environment } = context.settings
  if (environment === 'production' || readDotEnv(text).values.ENVIRONMENT !== undefined) return false
  const file = await openDotEnv(context, O_WRONLY | O_APPEND | O_CREAT)
  await file
    ?.writeFile(`${/[^\n]$/.test(text) ? '\n' : ''}ENVIRONMENT=${environment}\n`)
    .finally(() => file.close())
  return true
}

async function readDotEnvFile(context: RestoreContext): Promise<string> {
  const file = await openDotEnv(context, O_RDONLY)
  return file?.readFile('utf8').finally(() => file.close()) ?? ''
}

/** Undefined when missing. A user may own the folder: no link of theirs is followed. */
async function openDotEnv(context: RestoreContext, flags: number): Promise<FileHandle | undefined> {
  const folder = path.dirname(dotEnv(context))
  await using held = await lookThrough(latin1(folder), latin1(context.root))
  if (held === undefined) return undefined
  return await openFile(held.at('.env'), flags).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    if (error.code !== 'ELOOP' && error.code !== 'EINVAL') throw error
    throw new Error(
      `${dotEnv(context)} is not a regular file, so it is neither read nor written. Replace it with one`,
    )
  })
}

function dotEnv({ root, settings }: RestoreContext): string {
  return below(root, `${settings.toolkitDir}/.env`)
}

/** With its dependencies and the Node runtime that runs this. A drill downloads no packages. */
async function clone(repository: string, folder: string, drill: boolean): Promise<void> {
  await mkdir(path.dirname(folder), { recursive: true })
  await withClone(repository, { near: path.dirname(folder) }, (made) => rename(made, folder))
  if (drill) return
  await must(sh`cd ${folder} && npm ci --omit=dev --no-progress`)
  await mkdir(path.join(folder, 'bin'), { recursive: true })
  await copyFile(process.execPath, path.join(folder, 'bin/node'))
}
