import type { Kind } from '../round.ts'

/** The machine's clock, used to sign requests and judge changes, is off by minutes or years. */
export const wrongClock: Kind = {
  name: 'wrong-clock',
  weight: 3,
  needs: 'faketime',
  commands: ['backup-cron', 'backup-verda', 'backup-mello'],
  async inject(round) {
    const offset = round.random.pick(['-10m', '+10m', '-20m', '+2h', '-40d', '+2y'])
    const run = await round.run({ before: ['faketime', '-f', offset] })
    return { runs: [run], what: `a clock that is off by ${offset}` }
  },
}
