import { execFileSync } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Verda } from '../scripts/verda.ts'

const project = path.resolve(import.meta.dirname, '../..')

/** The toolkit's folder on Verda. */
export const toolkitFolder = '/opt/comfyume-backup'

/**
 * Sets up the toolkit on that Verda as the README says, and backs it up to its share with the real script.
 * Returns the archive's key in the cache, and its bytes.
 */
export async function packToolkit(verda: Verda): Promise<{ key: string; bytes: number }> {
  layToolkit(path.join(verda.root, toolkitFolder))
  const { code, stderr } = await verda.cron(['--only', 'scripts'])
  if (code !== 0) throw new Error(`the toolkit could not be backed up: ${stderr}`)
  const key = verda.names('').find((name) => /^scripts-[0-9-]+\.tar\.gz$/.test(name))
  if (key === undefined) throw new Error(`no archive of the toolkit in ${verda.cache}: ${verda.names('')}`)
  return { key, bytes: statSync(path.join(verda.cache, key)).size }
}

/** Lays out a clone of this project, `npm ci --omit=dev`, the running Node in `bin/`, and an empty `.env`. */
export function layToolkit(folder: string): void {
  const options = ['-c', `safe.directory=${project}`, '-C', project]
  const files = execFileSync('git', [
    ...options,
    'ls-files',
    '--cached',
    '--others',
    '--exclude-standard',
    '-z',
  ])
  for (const file of files.toString().split('\0').filter(Boolean))
    cpSync(path.join(project, file), path.join(folder, file), { verbatimSymlinks: true })
  execFileSync('npm', ['ci', '--omit=dev', '--prefer-offline'], { cwd: folder, stdio: 'pipe' })
  mkdirSync(path.join(folder, 'bin'))
  copyFileSync(process.execPath, path.join(folder, 'bin/node'))
  execFileSync('chmod', ['755', path.join(folder, 'bin/node')])
  writeFileSync(path.join(folder, '.env'), '', { mode: 0o600 })
}
