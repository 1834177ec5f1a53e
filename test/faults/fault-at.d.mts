import type { FaultAt } from './run.ts'

/** For tests that break calls of their own process: another fault from here on, counted from 0. */
export function plant(fault: FaultAt): void
