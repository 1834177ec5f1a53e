import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { restoringMarker } from '../../lib/inventory.ts'
import { itemOf, reportOf } from './verda.ts'
import { buildWorkshop, type Workshop } from './workshop.ts'

/** A restore that starts and ends while an item is read: no marker shows it before or after. */

let workshop: Workshop
beforeEach(async () => {
  workshop = await buildWorkshop()
})
afterEach(() => workshop.dispose())

/** The program that reads sources also marks the machine as a whole restore would. */
function restoring(root: string): Record<string, string> {
  const marker = path.join(root, restoringMarker)
  const bin = path.join(workshop.verda.folder, 'bin')
  mkdirSync(bin)
  for (const tool of ['tar', 'perl']) {
    writeFileSync(
      path.join(bin, tool),
      `#!/bin/bash
/usr/bin/${tool} "$@"
code=$?
mkdir -p ${path.dirname(marker)} && touch ${marker} && rm ${marker}
exit $code
`,
    )
    chmodSync(path.join(bin, tool), 0o755)
  }
  return { PATH: `${bin}:${process.env.PATH}` }
}

it.each([
  { item: 'ufw', command: 'backup-cron', host: 'verda' },
  { item: 'comfyume-worker', command: 'backup-verda', host: 'verda' },
  { item: 'models', command: 'backup-verda', host: 'verda' },
  { item: 'user-data', command: 'backup-mello', host: 'mello' },
  { item: 'credentials', command: 'backup-mello', host: 'mello' },
])(
  '$item of $command is kept out of every store, and stored by the next run',
  async ({ item, command, host }) => {
    const root = host === 'verda' ? workshop.verda.root : workshop.mello
    // As on a machine that was restored before; otherwise the folder itself is new.
    if (item === 'ufw')
      mkdirSync(path.join(root, path.dirname(restoringMarker), 'restored'), { recursive: true })
    const args = ['--json', '--only', item]
    const run = await workshop.verda.script(command, args, { env: restoring(root) })
    expect(run.code).toBe(1)
    expect(JSON.stringify(itemOf(reportOf(run), item))).toContain(
      `a restore of ${host} ran while this was read`,
    )
    const buckets = workshop.written().filter((key) => !/\/(runs|\.comfyume-backup)\//.test(key))
    expect([buckets, workshop.verda.names()]).toEqual([[], []])
    expect(() => workshop.git('rev-parse', '--verify', '--quiet', 'HEAD')).toThrow()

    const env = { BACKUP_NOW: '2026-11-24T11:00:00Z' }
    const next = await workshop.verda.script(command, args, { env })
    expect([next.code, itemOf(reportOf(next), item).status]).toEqual([0, 'stored'])
  },
)
