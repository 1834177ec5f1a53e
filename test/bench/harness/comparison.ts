import type { Row } from './race.ts'
import type { Site } from './site.ts'

/** One comparison, in its own file in compare/. */
export interface Comparison {
  name: string
  /** What it does, in a few words. */
  title: string
  run(options: Options): Promise<Result>
}

export interface Options {
  /** Size of the mixed data, in 10^9 bytes. */
  gigabytes: number
  rounds: number
  /** Size of the largest tree. */
  files: number
  /** A commit of this project to compare start-up with. */
  before: string
  /** The folder for everything; deleted afterwards. */
  folder: string
  /** A Verda whose /home/dev has the mixed data; made once and shared. */
  mixed(): Site
  say(text: string): void
}

export interface Result {
  tables: Table[]
  charts?: Chart[]
  /** What readers must know about the figures, and where a peer is better. */
  notes: string[]
}

export interface Table {
  title: string
  /** The way that ratios refer to, unless a row names another. */
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
