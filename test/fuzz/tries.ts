import { vi } from 'vitest'
import { thorough } from '../thorough.ts'

const { FUZZ_RUNS, FUZZ_SEED } = process.env
const factor = Number(FUZZ_RUNS ?? (thorough ? 1 : 0.25))

/**
 * How often a property is tried, for fast-check. `usual` times with THOROUGH, else a quarter as often, always with the same values. With FUZZ_RUNS so many
 * times `usual`, with values of chance unless FUZZ_SEED gives their seed. A failure names its seed.
 */
export function tries(usual: number, usualSeed = 6): { numRuns: number; seed: number } {
  const numRuns = Math.ceil(usual * factor)
  const seed = FUZZ_SEED ?? (FUZZ_RUNS === undefined ? usualSeed : Date.now() % 2 ** 31)
  return { numRuns, seed: Number(seed) }
}

/** Of tries of which `usual` should come out in one way, how many at least must: a property that is always refused early shows nothing. */
export const share = (usual: number) => Math.floor(usual * Math.min(1, factor))

/** A long run has no end to wait for; a machine that does other things as well takes its time over a short one. */
vi.setConfig({ testTimeout: factor > 1 ? 0 : 240_000 })
