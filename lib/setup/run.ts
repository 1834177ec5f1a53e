import path from 'node:path'
import { tellingOfBreak } from '../cli/confirm.ts'
import type { Asked } from '../cli/flags.ts'
import { print, printJson } from '../cli/output.ts'
import { runOnTerminal } from '../hosts/process.ts'
import { messageOf, ownLine, printableLines } from '../text.ts'
import type { setupFlags } from './flags.ts'

/** One thing that setup puts in place on this machine, or leaves to a person. Safe to repeat. */
export interface SetupStep {
  name: string
  /** What it puts in place, for the plan. */
  title: string
  /** What is already there, in words; undefined when there is something to do. Changes nothing. */
  done(): Promise<string | undefined>
  /** Returns what was done, in words. Throws ByHand for a person's task, and another error for a failure. */
  do(): Promise<string>
}

/** A task for a person, perhaps on the other machine: why, and the lines to paste. */
export class ByHand extends Error {
  override name = 'ByHand'
  constructor(
    message: string,
    readonly where: string,
    readonly paste: readonly string[],
  ) {
    super(message)
  }
}

export interface SetupOutcome {
  step: string
  title: string
  status: 'there' | 'done' | 'would do' | 'by hand' | 'failed'
  said: string
  /** For `by hand`: where to type what. */
  where?: string
  paste?: readonly string[]
}

type AskedOfSetup = Asked<typeof setupFlags>

/** Runs the steps in order and prints each result. A failure stops no other. A dry run changes nothing. */
export async function carryOutSetup(
  command: string,
  steps: readonly SetupStep[],
  { dryRun = false, json, quiet }: AskedOfSetup,
): Promise<SetupOutcome[]> {
  const outcomes: SetupOutcome[] = []
  using _ = tellingOfBreak(() => breakText(command, steps, outcomes))
  for (const step of steps) {
    const outcome = { step: step.name, title: step.title, ...(await carryOut(step, dryRun)) }
    outcomes.push(outcome)
    if (!json && !(quiet && outcome.status === 'there')) print(printableLines(outcomeLines(outcome)))
  }
  if (json && dryRun) printJson({ command, steps: outcomes })
  return outcomes
}

/** Every step may be repeated, also one that was interrupted. */
function breakText(command: string, steps: readonly SetupStep[], outcomes: readonly SetupOutcome[]): string {
  const settled = outcomes.filter((outcome) => !isOpen(outcome)).map(({ step }) => step)
  const left = steps.map(({ name }) => name).filter((name) => !settled.includes(name))
  return (
    `${command}: interrupted. In place: ${settled.join(', ') || 'nothing'}. Not done: ${left.join(', ')}.\n` +
    `To go on (every step may be repeated): ${ownLine()}`
  )
}

/** Runs another command of this toolkit in the same terminal. Returns whether it succeeded. */
export async function runSelf(
  toolkit: string,
  args: readonly string[],
  { json }: AskedOfSetup,
): Promise<boolean> {
  const command = [path.join(toolkit, 'scripts/comfyume-backup'), ...args]
  return (await runOnTerminal(command, json ? 2 : 'inherit')) === 0
}

/** Prints the last line, returns the exit code. `rest`: the last command succeeded. */
export function endSetup(
  command: string,
  outcomes: readonly SetupOutcome[],
  rest: boolean,
  { json }: AskedOfSetup,
): number {
  const open = outcomes.filter(isOpen)
  const ok = open.length === 0 && rest
  const left = open.length === 0 ? 'see above' : `left to do: ${open.map(({ step }) => step).join(', ')}`
  if (json) printJson({ command, ok, steps: outcomes })
  else if (ok) print(`OK ${command}`)
  else print(`FAILED ${command}: ${left}. Run it again afterwards: ${ownLine()}`)
  return ok ? 0 : 1
}

export const isOpen = ({ status }: SetupOutcome) => status === 'failed' || status === 'by hand'

async function carryOut(step: SetupStep, dryRun: boolean): Promise<Omit<SetupOutcome, 'step' | 'title'>> {
  try {
    const there = await step.done()
    if (there !== undefined) return { status: 'there', said: there }
    if (dryRun) return { status: 'would do', said: step.title }
    return { status: 'done', said: await step.do() }
  } catch (error) {
    if (error instanceof ByHand)
      return { status: 'by hand', said: error.message, where: error.where, paste: error.paste }
    return { status: 'failed', said: messageOf(error) }
  }
}

function outcomeLines({ step, status, said, where, paste = [] }: SetupOutcome): string {
  const head = `${status.padEnd(9)} ${step}: ${said}`
  return paste.length === 0
    ? head
    : [head, `          ${where}:`, ...paste.map((line) => `            ${line}`)].join('\n')
}
