import { bytesInWords } from '../cli/words.ts'
import type { HostName } from '../inventory.ts'
import { openStore } from '../stores/open.ts'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import { errorFinding } from './error-finding.ts'

/** Homes of about 6.5 GB and images of about 20 GB (facts, "R2 Buckets"): what one whole run writes. */
const wholeRunBytes = 27e9
/** Not even the configuration's archives are sure to fit. */
const leastBytes = 2e9

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
          return [judgeRoom(folder, freeBytes)]
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

function judgeRoom(folder: string, freeBytes: number): Finding {
  const said = `${folder} can be written to, ${bytesInWords(freeBytes)} free`
  const todo = `make room, or make the disk larger: du -xh --max-depth=2 ${folder} | sort -h | tail`
  if (freeBytes < leastBytes) return wrong(said, todo)
  if (freeBytes < wholeRunBytes)
    return warning(`${said}: less than the ${bytesInWords(wholeRunBytes)} of homes and images`, todo)
  return ok(said)
}
