import { type Kind, later } from '../round.ts'

const turns = [
  '2026-03-31T23:59:59.500Z',
  '2026-04-30T23:59:00.000Z',
  '2028-02-28T23:58:00.000Z',
  '2028-02-29T00:00:00.000Z',
  '2028-02-29T12:00:00.000Z',
  '2026-12-31T23:59:59.999Z',
  '2027-01-01T00:00:00.000Z',
  '2100-01-01T00:00:00.000Z',
  '1999-12-31T23:00:00.000Z',
]

/** The clock jumps: to the turn of a day, month or year, back by hours or months, or far ahead. */
export const clock: Kind = {
  name: 'clock',
  weight: 8,
  commands: ['backup-cron', 'backup-cron', 'backup-verda', 'backup-mello', 'verify'],
  async inject(round) {
    const { world, random, command } = round
    const before = round.now
    const minutes = random.pick([-90, -26 * 60, -40 * 1440, -400 * 1440, 3 * 365 * 1440])
    const jump = random.chance(0.4) ? random.pick(turns) : later(before, minutes)
    const legal = jump >= '2000' && jump < '2100'
    // Times are unique, so a record's time identifies one state of the sources.
    const now = new Date(Date.parse(jump) + (legal ? world.nextTick() : 0)).toISOString()
    round.now = now
    world.witness(now)
    const run = await round.run()
    const problems =
      run.code !== 0 && legal && !(command === 'verify' && world.damaged.size > 0)
        ? [`the clock says ${now}, and that is no reason to fail: ${run.stderr.slice(-300)}`]
        : []
    if (!legal) round.now = before
    return { runs: [run], what: `the clock says ${now} after ${before}`, ...(legal ? { problems } : {}) }
  },
}
