import { doctorExits, doctorFlags } from '../lib/cli/doctor-manual.ts'
import { main } from '../lib/cli/main.ts'

await main(
  {
    command: 'doctor',
    summary: 'looks whether everything that backups need is in place, and says what to do',
    description: `
For the end of a set-up on Verda or on Mello, and whenever something is odd. A line a check: ok, warning or WRONG, with what was found,
and below it what to do. Nothing is changed, but for two or three small objects below .comfyume-backup/ in each bucket, which
show what the server can be relied on for: they are written once, and read from then on. Nothing is ever deleted.`,
    flags: doctorFlags,
    examples: [
      { what: 'after setting up', command: 'tsx scripts/doctor.ts' },
      { what: 'only what is not ok', command: 'tsx scripts/doctor.ts --quiet' },
      {
        what: 'ssh to Verda was changed',
        command: 'tsx scripts/doctor.ts --only hosts,sources',
      },
      { what: 'what would be looked at', command: 'tsx scripts/doctor.ts --dry-run' },
    ],
    settings: ['all of them: it is they that are checked; see the README'],
    exits: doctorExits,
  },
  async (flags) => (await import('../lib/cli/doctor-command.ts')).doctorCommand(flags),
)
