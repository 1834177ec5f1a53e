import { userInfo } from 'node:os'
import { FlagError, text, word } from '../lib/cli/flags.ts'
import { main } from '../lib/cli/main.ts'
import { setupExits, setupFlags } from '../lib/setup/flags.ts'

export default await main(
  import.meta.url,
  {
    command: 'setup',
    summary: 'puts in place what the backups need on this machine, and leaves the rest',
    description: `
Looks at each step, does what is missing, and prints what only you can do as lines to paste. Run it again as often as you like.
On Verda run it as root, on Mello as the user who owns the copies. It ends with doctor.`,
    flags: {
      machine: word(['verda', 'mello']),
      user: text('NAME', 'who logs in on Verda (setup mello); default: the same name as here'),
      ...setupFlags,
    },
    examples: {
      'what it would do': 'comfyume-backup setup verda --dry-run',
      'on Verda, as root': 'comfyume-backup setup verda',
      'on Mello, where Verda is reached as root': 'comfyume-backup setup mello --user root',
    },
    settings: [
      'SFS_PROD',
      'PROJECT_REPO',
      'SCRIPTS_REPO',
      'CREDENTIALS_REPO',
      'R2_ACCESS_KEY_ID',
      'R2_SECRET_ACCESS_KEY',
    ],
    exits: setupExits,
  },
  async (asked, { toolkit }) => {
    const { examineEnvironment, examineSettings } = await import('../lib/settings/settings.ts')
    const { melloSteps, verdaSteps } = await import('../lib/setup/plan.ts')
    const { carryOutSetup, endSetup, runSelf } = await import('../lib/setup/run.ts')

    const { machine, dryRun, user = userInfo().username } = asked
    const isRoot = process.getuid?.() === 0
    if (machine === 'verda' && !isRoot && !dryRun)
      throw new FlagError('setup verda runs as root: sudo comfyume-backup setup verda')
    if (machine === 'mello' && isRoot && !dryRun)
      throw new FlagError('setup mello runs as the user who owns the copies there, such as dev, not as root')
    // A wrong setting does not stop set-up. Doctor reports it at the end.
    const { settings } = examineSettings(examineEnvironment(toolkit).environment)
    const steps = machine === 'verda' ? verdaSteps(settings, toolkit) : melloSteps(settings, toolkit, user)
    const outcomes = await carryOutSetup('setup', steps, asked)
    if (dryRun) return 0
    const healthy = await runSelf(toolkit, ['doctor', '--on', machine, '--quiet'], asked)
    return endSetup('setup', outcomes, healthy, asked)
  },
)
