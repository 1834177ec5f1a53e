import { userInfo } from 'node:os'
import { ok, wrong } from '../../cli/finding.ts'
import { secondsInWords } from '../../text.ts'
import type { Checks, Context, Findings } from '../context.ts'

export const hosts: Checks = ({ on }) => [
  on === 'verda'
    ? { name: 'user', what: 'whether this user may read what belongs to root', check: checkUser }
    : {
        name: 'verda',
        what: 'ssh to Verda without a prompt, its host key, and root there by sudo -n',
        uses: ['VERDA_SSH', 'VERDA_ROOT'],
        check: checkVerda,
      },
]

function checkUser({ settings }: Context): Findings {
  if (process.getuid?.() === 0) return ok('root')
  const user = userInfo().username
  if (settings.roots.verda !== '/') return ok(`${user}, in a drill below ${settings.roots.verda}`)
  return wrong(
    `${user} is not root and cannot read the identity and the keys of this machine`,
    "run it as root (sudo -i), and let root's crontab run the backups",
  )
}

async function checkVerda({ reach, settings }: Context): Promise<Findings> {
  const { seconds, hostName } = await reach('verda')
  if (settings.verdaSsh === 'local') return ok('is this machine (VERDA_SSH is local)')
  return ok(`ssh ${settings.verdaSsh} reaches ${hostName} in ${secondsInWords(seconds)} and is root there`)
}
