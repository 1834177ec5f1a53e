import type { Row } from './race.ts'
import type { Site } from './site.ts'

/** One thing that is compared: a file of its own in compare/. */
export interface Comparison {
  name: string
  /** What is done, in a few words. */
  title: string
  run(options: Options): Promise<Result>
}

export interface Options {
  /** Of the mixed data, in units of 10^9 bytes. */
  gigabytes: number
  rounds: number
  /** In the largest tree. */
  files: number
  /** A commit of this project that start-up is compared with. */
  before: string
  /** Where everything is laid; gone afterwards. */
  folder: string
  /** A Verda whose /home/dev holds the mixed data; made once, for all that ask. */
  mixed(): Site
  say(text: string): void
}

export interface Result {
  tables: Table[]
  charts?: Chart[]
  /** What one has to know to read the figures; what a peer does better. */
  notes: string[]
}

export interface Table {
  title: string
  /** The name of the way that the ratios are of, but for rows that name another. */
  base: string
  rows: Row[]
  /** False: left out of the plot. */
  plot?: boolean
}

/** How a figure grows. */
export interface Chart {
  title: string
  xUnit: string
  yUnit: string
  series: { name: string; ours: boolean; points: [x: number, y: number][] }[]
}
