import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import type { Site } from '../site.ts'
import type { Step } from '../step.ts'
import { sh } from '../system.ts'

/** The toolkit's own lines for Verda, behind what root's crontab has: its settings hold for the lines below them. */
export function crontabStep(_site: Site): Step {
  const file = path.resolve(import.meta.dirname, '../../../crontab/verda')
  return {
    name: 'crontab',
    title: "Backups in root's crontab, behind what is there",
    items: [],
    async done() {
      return (await hasOurs(file)) ? 'there already' : undefined
    },
    async do() {
      const ours = await readFile(file, 'utf8')
      const there = (await crontab()).replace(/\n*$/, '\n').replace(/^\n$/, '')
      await execa('crontab', ['-'], { input: there === '' ? ours : `${there}\n${ours}` })
      return { said: 'installed', changed: true }
    },
    async check() {
      if (!(await hasOurs(file)))
        throw new Error(`crontab -l does not show the lines of ${file}: crontab ${file}`)
    },
  }
}

/** Whether root's crontab has every line of ours. */
export async function hasOurs(file: string): Promise<boolean> {
  const there = (await crontab()).split('\n')
  const ours = (await readFile(file, 'utf8'))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  return ours.every((line) => there.includes(line))
}

async function crontab(): Promise<string> {
  const { exitCode, stdout } = await sh`crontab -l`
  return exitCode === 0 ? stdout : ''
}
