import path from 'node:path'
import type { HostName } from '../inventory.ts'
import { openStore } from '../stores/open.ts'
import { type Check, type Finding, wrong } from './check.ts'
import { errorFinding } from './error-finding.ts'
import { whyNotOurs } from './others.ts'
import { judgeRoom } from './room.ts'

const settingOf = { sfs: 'SFS_CACHE', mello: 'MELLO_BACKUPS' } as const

/** The directory store of a machine: the SFS cache on Verda, the copies on Mello. */
export function directoryStoreChecks(on: HostName): Check[] {
  const name = on === 'verda' ? 'sfs' : 'mello'
  const uses = on === 'verda' ? ['SFS_ROOT', 'SFS_CACHE', 'SFS_REQUIRE_MOUNT'] : ['MELLO_BACKUPS']
  return [
    {
      group: 'stores',
      name,
      what: `that ${settingOf[name]} can be written to, and its free room; one empty file is made there and removed`,
      uses,
      async check({ settings }): Promise<Finding[]> {
        const folder = name === 'sfs' ? settings.sfs.cache : settings.melloBackups
        try {
          const { freeBytes = 0 } = await openStore(name, 'cache', settings).probe()
          return [
            judgeRoom(folder, 'can be written to and has', freeBytes),
            ...(await judgeOthers([folder, path.join(folder, 'config')], name)),
          ]
        } catch (error) {
          return [
            errorFinding(
              error,
              `see who owns ${folder} and what is mounted there (ls -ld, findmnt -T), or set ${settingOf[name]}`,
            ),
          ]
        }
      },
    },
  ]
}

/** A record proves that an archive is whole, and not who made it: a restore runs as root and takes what lies here. */
async function judgeOthers(folders: readonly string[], name: string): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const folder of folders) {
    const why = await whyNotOurs(folder)
    if (why === undefined) continue
    findings.push(
      wrong(
        `${folder} ${why}, and a restore would take an archive of theirs`,
        `take that away: chmod go-w ${folder}, and see that it belongs to whoever makes the backups (chown)`,
        `${name} folder`,
      ),
    )
  }
  return findings
}
