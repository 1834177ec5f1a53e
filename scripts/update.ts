import { FlagError } from '../lib/cli/flags.ts'
import { main } from '../lib/cli/main.ts'
import { setupExits, setupFlags } from '../lib/setup/flags.ts'

export default await main(
  import.meta.url,
  {
    command: 'update',
    summary: 'brings this toolkit to its newest version, then runs setup',
    description: `
Pulls the newest commit, installs its packages, then runs setup for the machine, which brings the crontab up to date and ends with doctor.
Works for a clone, and for a toolkit that restore brought back without .git: there SCRIPTS_REPO is cloned around it.`,
    flags: setupFlags,
    examples: {
      'whether there is something newer': 'comfyume-backup update --dry-run',
      update: 'comfyume-backup update',
    },
    settings: ['SCRIPTS_REPO'],
    exits: setupExits,
  },
  async (asked, { toolkit }) => {
    const { examineEnvironment, examineSettings } = await import('../lib/settings/settings.ts')
    const { machineOf } = await import('../lib/crontab.ts')
    const { readCrontab } = await import('../lib/setup/machine.ts')
    const { carryOutSetup, endSetup, isOpen, runSelf } = await import('../lib/setup/run.ts')
    const { updateSteps } = await import('../lib/setup/update.ts')

    const machine = machineOf(await readCrontab())
    if (machine === undefined)
      throw new FlagError(
        'this machine is not set up yet: run comfyume-backup setup verda, or comfyume-backup setup mello',
      )
    const { settings } = examineSettings(examineEnvironment(toolkit).environment)
    const steps = updateSteps(toolkit, settings.repositories.scripts)
    const outcomes = await carryOutSetup('update', steps, asked)
    if (asked.dryRun) return 0
    // In a new process, because the code may have changed.
    const isSetUp = !outcomes.some(isOpen) && (await runSelf(toolkit, ['setup', machine], asked))
    return endSetup('update', outcomes, isSetUp, asked)
  },
)
