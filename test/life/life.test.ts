import { expect, test } from 'vitest'
import { figures } from './figures.ts'
import { live } from './life.ts'

test('a clock two days behind writes over no copy of another day (seed 149, 1 December)', async () => {
  const { story } = await live({ seed: 149, start: new Date('2026-11-23T00:00:00Z'), days: 11 })
  expect(story.tally.counts.get('faults')?.get('clock')).toBe(1)
}, 120_000)

/** The life itself checks everything else, and throws the first broken promise with seed and time. */
test.each([11, 12])(
  'a simulated winter with a leap day, seed %i: nothing is lost, every restore brings what the records promise',
  async (seed) => {
    const { story, growth } = await live({ seed, start: new Date('2028-01-17T00:00:00Z'), days: 45 })
    const counted = (what: string, kind: string) => story.tally.counts.get(what)?.get(kind) ?? 0
    expect(growth.at(-1)?.day).toBe('2028-03-01')
    expect(counted('runs', 'ok')).toBeGreaterThan(1000)
    expect(counted('restored items', 'in all')).toBeGreaterThan(50)
    expect(story.tally.counts.get('rotated')?.size).toBeGreaterThan(0)
    expect(story.tally.counts.get('faults')?.size).toBeGreaterThan(2)
    expect(figures({ story, growth })).toContain('| tailscale |')
  },
  300_000,
)
