import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { crontabWith } from '../../crontab.ts'
import { run, systemPath } from '../../hosts/process.ts'
import { sh } from '../../hosts/shell.ts'
import type { RestoreContext, Step } from '../context.ts'
import { mustNotBeAnothers } from './toolkit.ts'

/** Appends the toolkit's lines for Verda to root's crontab: settings apply to the lines below them. */
export function crontabStep(context: RestoreContext): Step {
  const file = path.resolve(import.meta.dirname, '../../../crontab/verda')
  return {
    name: 'crontab',
    title: "Backups in root's crontab, after the lines that are there",
    items: [],
    async done() {
      return (await hasOurs(file)) ? 'there already' : undefined
    },
    async do() {
      await mustNotBeAnothers(context)
      const text = crontabWith(await crontab(), await readFile(file, 'utf8'), 'verda')
      await run(['crontab', '-'], { reject: true, input: text, env: { PATH: systemPath() } })
      return { said: 'installed', changed: true }
    },
    async check() {
      if (!(await hasOurs(file)))
        throw new Error(`crontab -l does not show the lines of ${file}: crontab ${file}`)
    },
  }
}

/** Whether root's crontab has all our lines. */
export async function hasOurs(file: string): Promise<boolean> {
  const there = (await crontab()).split('\n')
  const ours = (await readFile(file, 'utf8'))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return ours.every((line) => there.includes(line))
}

/** Throws for every unexpected failure: an unreadable crontab must not be overwritten. */
async function crontab(): Promise<string> {
  const { exitCode, stdout, stderr } = await sh`crontab -l`
  if (exitCode === 0) return stdout
  if (stderr.includes('no crontab for')) return ''
  throw new Error(`root's crontab cannot be read: ${stderr.trim() || `crontab -l ended with ${exitCode}`}`)
}
