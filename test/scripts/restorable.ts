import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, renameSync } from 'node:fs'
import path from 'node:path'
import { expect, inject } from 'vitest'
import { differences, type Exceptions, type Stock, takeStock } from '../../demo/stock.ts'
import { buildVerda, leftOut } from '../../demo/verda.ts'
import type { RestorePlan } from '../../lib/restore/plan/planned.ts'
import type { RestoreReport } from '../../lib/restore/report.ts'
import { type Run, type RunOptions, settle } from './verda.ts'
import { buildWorkshop } from './workshop.ts'

export type Restorable = Awaited<ReturnType<typeof buildRestorable>>

/** The night after the backups. */
export const night = '2026-11-25T02:13:00Z'

const project = '/home/dev/comfyume-v1'

/**
 * A workshop backed up on 2026-11-24 at 10 h to the share, Mello, R2 and the credentials' repository, with
 * file kinds that archives often lose. `restore` runs the real script the night after, into a folder of
 * `drill`. Usually a copy, whose files the next backup would take for changed; `own`: a fresh one.
 */
export async function buildRestorable({ quick = false, own = false } = {}) {
  const workshop = own ? await backedUp(quick) : await buildWorkshop({ copyOf: await template(quick) })
  const { verda } = workshop
  let drills = 0

  return {
    workshop,
    verda,
    r2: workshop.r2,
    /** A restore target that does not exist yet. */
    drill: () => path.join(verda.folder, `drill-${drills++}`),
    restore: (args: string[], { env, ...options }: RunOptions = {}) =>
      verda.restore(args, { env: { BACKUP_NOW: night, ...env }, ...options }),
    /** Differences between `root` and Verda's and Mello's files; models and images have their own tests. */
    async differences(root: string, of: 'verda' | 'both' = 'both') {
      const found = differences(await takeStock(verda.root, ofVerda), await takeStock(root, ofVerda))
      if (of === 'verda') return found
      const [was, is] = [workshop.mello, root].map((machine) => takeStock(path.join(machine, data)))
      return [...found, ...differences(await (was as Promise<Stock>), await (is as Promise<Stock>))]
    },
    /** Everything below a folder. Folders around the items only count as existing: restore changes them. */
    stockOf: (root: string) => takeStock(root, { whole: [], alone: [...around, data] }),
    dispose: () => workshop.dispose(),
  }
}

/** The folder of such a workshop, made once per test run. */
async function template(quick: boolean): Promise<string> {
  const made = path.join(inject('worlds'), quick ? 'quick' : 'whole')
  if (existsSync(made)) return made
  const workshop = await backedUp(quick)
  await workshop.save()
  try {
    renameSync(workshop.verda.folder, made)
  } catch {
    // Another test file was quicker; its folder is as good.
    workshop.verda.dispose()
  }
  return made
}

async function backedUp(quick: boolean) {
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
  return workshop
}

const data = `${project}/data`

const around = ['/etc', '/etc/ssh', '/etc/ssl', '/home', '/opt', '/var', '/var/lib']

/** What comes from elsewhere, and folders that are in no item. */
const ofVerda: Exceptions = {
  whole: [...leftOut, '/mnt', '/etc/ssh/sshd_config', data, `${project}/nginx`],
  alone: around,
}

export function reportOf(run: Run): WithNotes<RestoreReport> {
  if (run.stdout === '') throw new Error(run.stderr)
  return JSON.parse(run.stdout)
}

/** As --json prints it. */
type WithNotes<T> = Omit<T, 'notes'> & { notes: string[] }

export const planOf = (run: Run): WithNotes<RestorePlan> => JSON.parse(run.stdout)

/** An item's status, source and key. */
export function outcomeOf(run: Run, name: string) {
  const found = reportOf(run).items.find(({ item }) => item === name)
  if (!found) throw new Error(`the report has no ${name}: ${run.stdout}`)
  return found
}

/** Runs the restore again to its end: everything is back, with no leftovers of earlier runs. */
export async function expectWhole(world: Restorable, to: string): Promise<Run> {
  const run = await world.restore(['--yes', '--json', '--root', to])
  expect(run.code, run.stderr).toBe(0)
  expect(await world.differences(to)).toEqual([])
  expect(existsSync(path.join(to, 'var/lib/comfyume-backup/restoring'))).toBe(false)
  const left = execFileSync('find', [to, '-name', '.comfyume-restore-*']).toString()
  expect(left).toBe('')
  return run
}
