import type { HostName } from '../inventory.ts'
import { openStore } from '../stores/open.ts'
import type { Check, Finding } from './check.ts'
import { errorFinding } from './error-finding.ts'
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
          return [judgeRoom(folder, 'can be written to and has', freeBytes)]
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
