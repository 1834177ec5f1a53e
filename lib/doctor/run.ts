import { type Check, type Finding, type Group, NotChecked, wrong } from './check.ts'
import type { Context } from './context.ts'
import { errorFinding } from './error-finding.ts'

/** A finding with its place in the list. */
export interface Result {
  group: Group
  name: string
  status: Finding['status']
  found: string
  todo?: string
}

/** One connection of ssh bears ten commands at once. */
const atOnce = 6
const usualLimit = 60

/**
 * Carries checks out, several at once, and gives their results in the order of the checks, each as soon as all before it are
 * there. A check that hangs is given up and left alone: whoever ends the process ends it too.
 */
export async function* runChecks(checks: readonly Check[], context: Context): AsyncGenerator<Result> {
  const turn = turns(atOnce)
  const results = checks.map((check) => turn(() => runCheck(check, context)))
  for (const result of results) yield* await result
}

/** Lets so many at a time begin, in the order in which they asked. */
function turns(most: number) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= most) await new Promise<void>((begin) => waiting.push(begin))
    running++
    try {
      return await work()
    } finally {
      running--
      waiting.shift()?.()
    }
  }
}

async function runCheck(check: Check, context: Context): Promise<Result[]> {
  const findings = await look(check, context)
  return findings.map(({ name, ...finding }) => ({
    group: check.group,
    name: name ?? check.name,
    ...finding,
  }))
}

async function look(check: Check, context: Context): Promise<Finding[]> {
  try {
    const inTheWay = check.uses?.find((name) => wrongSettings(context).has(name))
    if (inTheWay) throw new NotChecked(`${inTheWay} is wrong`, 'set it right, and run doctor again')
    const limit = check.limit ?? usualLimit
    return await Promise.race([Promise.resolve(check.check(context)), tooLong(limit)])
  } catch (error) {
    return [errorFinding(error)]
  }
}

function wrongSettings({ settingProblems }: Context): Set<string> {
  return new Set(settingProblems.map((problem) => problem.split(' ')[0] as string))
}

function tooLong(seconds: number): Promise<Finding[]> {
  const finding = wrong(
    `no answer within ${seconds} s`,
    'something hangs: a share whose server is away (findmnt, dmesg), or a network that loses packets',
  )
  return new Promise((resolve) => setTimeout(() => resolve([finding]), seconds * 1000))
}
