/** The cost of one run. */
export interface Figures {
  seconds: number
  /** User and system time of all processes that the command waited for. */
  cpuSeconds: number
  /** Peak memory, summed over the process tree. */
  peakBytes: number
}

/** The median; NaN for an empty list. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length % 2 === 1) return sorted[middle] as number
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** A least-squares line through points. `r2` is 1 if all are on it. */
export interface Line {
  slope: number
  intercept: number
  r2: number
}

export function fitLine(points: readonly (readonly [x: number, y: number])[]): Line {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const [meanX, meanY] = [mean(([x]) => x), mean(([, y]) => y)]
  const spread = mean(([x]) => (x - meanX) ** 2)
  const slope = spread === 0 ? 0 : mean(([x, y]) => (x - meanX) * (y - meanY)) / spread
  const intercept = meanY - slope * meanX
  const variance = mean(([, y]) => (y - meanY) ** 2)
  const left = mean(([x, y]) => (y - intercept - slope * x) ** 2)
  return { slope, intercept, r2: variance === 0 ? 1 : 1 - left / variance }
}
