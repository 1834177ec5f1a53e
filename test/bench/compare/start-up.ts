import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { messageOf } from '../../../lib/text.ts'
import type { Comparison } from '../harness/comparison.ts'
import { race } from '../harness/race.ts'

const project = path.resolve(import.meta.dirname, '../../..')

export const startUp: Comparison = {
  name: 'start-up',
  title: 'how soon a command answers',
  async run({ rounds, folder, before, say }) {
    const notes = ['Started as the crontabs do, through tsx, whose cache is warm.']
    const versions = [{ at: '', project }]
    try {
      versions.push({ at: `, ${before}`, project: checkedOut(before, path.join(folder, 'before')) })
    } catch (error) {
      notes.push(`There is no ${before} here to compare with: ${messageOf(error).split('\n')[0]}`)
    }
    const files = readdirSync(path.join(project, 'scripts')).map((file) => path.parse(file))
    const scripts = files.flatMap(({ ext, name }) => (ext === '.ts' ? name : []))
    const env = { PATH: process.env.PATH, HOME: folder, TMPDIR: folder }
    const tables = []
    for (const { flag, code } of [
      { flag: '--help', code: 0 },
      { flag: '--wrong', code: 2 },
    ]) {
      const ways = scripts.flatMap((script) =>
        versions.map(({ at, project: from }) => ({
          name: `${script} ${flag}${at}`,
          ...(from === project && { ours: true as const }),
          against: `${script} ${flag}, ${before}`,
          line: `${from}/node_modules/.bin/tsx ${from}/scripts/${script}.ts ${flag}; [[ $? == ${code} ]]`,
          env,
          checks: `exit ${code}`,
        })),
      )
      // The first start of each fills the cache.
      if (tables.length === 0) await race(ways, { rounds: 1, folder, say: () => {} })
      const rows = await race(ways, { rounds, folder, say })
      tables.push({
        title: `${flag === '--help' ? 'Help' : 'A wrong flag'}, answered`,
        base: before,
        rows,
        plot: false,
      })
    }
    return { tables, notes }
  },
}

/** A commit's files, without touching the repository, with today's dependencies. */
function checkedOut(commit: string, folder: string): string {
  mkdirSync(folder)
  const archive = 'git -C "$1" archive "$2" | tar -x -C "$3"'
  execFileSync('bash', ['-o', 'pipefail', '-c', archive, 'bash', project, commit, folder], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  symlinkSync(path.join(project, 'node_modules'), path.join(folder, 'node_modules'))
  return folder
}
