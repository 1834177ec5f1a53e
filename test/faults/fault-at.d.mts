import type { FaultAt } from './run.ts'

/** For tests that break calls of their own process: sets a new fault, counted from 0. */
export function plant(fault: FaultAt): void
