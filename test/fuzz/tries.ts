import { vi } from 'vitest'

/**
 * How often a property is tried, for fast-check: `usual` times, always with the same values; with FUZZ_RUNS so many times as often, and with
 * values of chance unless FUZZ_SEED gives their seed. A failure names its seed.
 */
export function tries(usual: number, usualSeed = 6): { numRuns: number; seed: number } {
  const { FUZZ_RUNS, FUZZ_SEED } = process.env
  const numRuns = Math.ceil(usual * Number(FUZZ_RUNS ?? 1))
  const seed = FUZZ_SEED ?? (FUZZ_RUNS === undefined ? usualSeed : Date.now() % 2 ** 31)
  return { numRuns, seed: Number(seed) }
}

/** A long run has no end to wait for; a machine that does other things as well takes its time over a short one. */
vi.setConfig({ testTimeout: process.env.FUZZ_RUNS === undefined ? 180_000 : 0 })
