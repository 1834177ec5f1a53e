import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { execa } from 'execa'
import { systemEnvironment } from '../../hosts/environment.ts'
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
      const text = crontabWith(await crontab(), await readFile(file, 'utf8'))
      await execa('crontab', ['-'], { input: text, env: systemEnvironment(), extendEnv: false })
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

/** Whatever it may be that cannot be read, it must not be written over. */
async function crontab(): Promise<string> {
  const { exitCode, stdout, stderr } = await sh`crontab -l`
  if (exitCode === 0) return stdout
  if (stderr.includes('no crontab for')) return ''
  throw new Error(`root's crontab cannot be read: ${stderr.trim() || `crontab -l ended with ${exitCode}`}`)
}

/**
 * The text of a crontab with our lines behind what is there. A job that is there already, at our time or at another one, would run twice: it stays as a comment.
 * Pure.
 */
export function crontabWith(there: string, ours: string): string {
  const commands = new Set(ours.split('\n').map(commandOf).filter(Boolean))
  const lines = there.trimEnd().split('\n')
  const others = lines.map((line) => (commands.has(commandOf(line)) ? `# before the restore: ${line}` : line))
  const before = others.join('\n')
  return before === '' ? ours : `${before}\n\n${ours}`
}

/** What a line of a crontab runs, after its five fields or its `@daily`; undefined for a comment or a setting. */
function commandOf(line: string): string | undefined {
  return /^\s*(?:@\w+|(?:[-\d*,/A-Za-z]+\s+){4}[-\d*,/A-Za-z]+)\s+(\S.*?)\s*$/.exec(line)?.[1]
}
