import { execFileSync } from 'node:child_process'
import { chownSync, existsSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'
import { differences, type Exceptions, type Stock, takeStock } from '../../lib/demo/stock.ts'
import { buildVerda, leftOut } from '../../lib/demo/verda.ts'
import type { RestorePlan } from '../../lib/restore/plan.ts'
import type { RestoreReport } from '../../lib/restore/report.ts'
import { type Run, type RunOptions, settle } from './verda.ts'
import { buildWorkshop } from './workshop.ts'

export type Restorable = Awaited<ReturnType<typeof buildRestorable>>

/** In the night after the backups. */
export const night = '2026-11-25T02:13:00Z'

const project = '/home/dev/comfyume-v1'

/**
 * A workshop whose machines have been backed up on 2026-11-24 at 10 h to the share, Mello, R2 and the credentials' repository, with what tends to
 * get lost among its files. `restore` runs the real script, in the night after, as a drill into the folder that `drill` gives.
 */
export async function buildRestorable({ quick = false } = {}) {
  const workshop = await buildWorkshop()
  const { verda } = workshop
  await buildVerda(verda.root)
  verda.write('home/dev/.ssh/authorized_keys', 'ssh-ed25519 AAAA dev\n', 0o600)
  if (process.getuid?.() === 0) chownSync(path.join(verda.root, 'home/dev/.ssh/authorized_keys'), 1000, 1000)
  verda.write('etc/ssl/private/workshop.key', 'private key of the certificate\n', 0o600)
  settle()
  const runs = [
    await verda.cron(['--only', quick ? 'config,scripts' : 'config,scripts,containers']),
    await workshop.backupVerda(quick ? ['--quick'] : []),
    await workshop.backupMello(),
  ]
  for (const { code, stdout, stderr } of runs) if (code !== 0) throw new Error(stdout + stderr)
  let drills = 0

  return {
    workshop,
    verda,
    r2: workshop.r2,
    /** A folder to restore to, which is not there yet. */
    drill: () => path.join(verda.folder, `drill-${drills++}`),
    restore: (args: string[], { env, ...options }: RunOptions = {}) =>
      verda.restore(args, { env: { BACKUP_NOW: night, ...env }, ...options }),
    /** How what is below `root` differs from what Verda and Mello had; models and images have tests of their own. */
    async differences(root: string, of: 'verda' | 'both' = 'both') {
      const found = differences(await takeStock(verda.root, ofVerda), await takeStock(root, ofVerda))
      if (of === 'verda') return found
      const [was, is] = [workshop.mello, root].map((machine) => takeStock(path.join(machine, data)))
      return [...found, ...differences(await (was as Promise<Stock>), await (is as Promise<Stock>))]
    },
    /** Everything below a folder; of folders around the items only that they are there, for the restore works in them. */
    stockOf: (root: string) => takeStock(root, { whole: [], alone: [...around, data] }),
    dispose: () => workshop.dispose(),
  }
}

const data = `${project}/data`

const around = ['/etc', '/etc/ssh', '/etc/ssl', '/home', '/opt', '/var', '/var/lib']

/** What comes from elsewhere, and folders that no item holds itself. */
const ofVerda: Exceptions = {
  whole: [...leftOut, '/mnt', '/etc/ssh/sshd_config', data, `${project}/nginx`],
  alone: around,
}

export function reportOf(run: Run): RestoreReport {
  if (run.stdout === '') throw new Error(run.stderr)
  return JSON.parse(run.stdout)
}

export const planOf = (run: Run): RestorePlan => JSON.parse(run.stdout)

/** Status, source and key of an item. */
export function outcomeOf(run: Run, name: string) {
  const found = reportOf(run).items.find(({ item }) => item === name)
  if (!found) throw new Error(`the report has no ${name}: ${run.stdout}`)
  return found
}

/** Runs the restore again, and to its end: everything is back, and nothing of the runs before is left. */
export async function expectWhole(world: Restorable, to: string): Promise<Run> {
  const run = await world.restore(['--yes', '--json', '--root', to])
  expect(run.code, run.stderr).toBe(0)
  expect(await world.differences(to)).toEqual([])
  expect(existsSync(path.join(to, 'var/lib/comfyume-backup/restoring'))).toBe(false)
  const left = execFileSync('find', [to, '-name', '.comfyume-restore-*']).toString()
  expect(left).toBe('')
  return run
}
