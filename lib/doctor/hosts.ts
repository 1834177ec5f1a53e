import { userInfo } from 'node:os'
import { secondsInWords } from '../cli/words.ts'
import { type Check, type Finding, ok, wrong } from './check.ts'
import type { Context } from './context.ts'

/** On Verda itself. */
export const hostChecksOnVerda: readonly Check[] = [
  {
    group: 'hosts',
    name: 'user',
    what: 'whether this user may read what belongs to root',
    check({ settings }: Context): Finding[] {
      if (process.getuid?.() === 0) return [ok('root')]
      const user = userInfo().username
      if (settings.roots.verda !== '/') return [ok(`${user}, in a drill below ${settings.roots.verda}`)]
      return [
        wrong(
          `${user} is not root, and cannot read the identity and the keys of this machine`,
          "run it as root (sudo -i), and let root's crontab run the backups",
        ),
      ]
    },
  },
]

/** On Mello. */
export const hostChecksOnMello: readonly Check[] = [
  {
    group: 'hosts',
    name: 'verda',
    what: 'ssh to Verda without being asked, its host key, and root there by sudo -n',
    uses: ['VERDA_SSH', 'VERDA_ROOT'],
    async check({ reach, settings }: Context): Promise<Finding[]> {
      const { seconds, hostName } = await reach('verda')
      if (settings.verdaSsh === 'local') return [ok('is this machine (VERDA_SSH is local)')]
      return [
        ok(`ssh ${settings.verdaSsh} reaches ${hostName} in ${secondsInWords(seconds)}, and is root there`),
      ]
    },
  },
]
