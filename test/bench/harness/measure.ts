import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Figures } from './figures.ts'
import { treeMemory } from './process-tree.ts'

/** One run in the shell; every process of a pipeline must succeed. */
export interface Command {
  line: string
  env: NodeJS.ProcessEnv
  cwd: string
}

/** The interval between memory samples. Shorter peaks are missed. */
const everyMs = 50

/** Runs a command once, to its end. Throws its output on failure. */
export async function measure({ line, env, cwd }: Command): Promise<Figures> {
  const child = spawn('bash', ['-c', timed, 'bash', line], {
    env,
    cwd,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  let said = ''
  let times = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (data) => {
      said = `${said}${data}`.slice(-4000)
    })
  ;(child.stdio[3] as NodeJS.ReadableStream).on('data', (data) => {
    times += data
  })
  let peakBytes = 0
  const look = () => {
    peakBytes = Math.max(peakBytes, treeMemory(child.pid as number))
  }
  const timer = setInterval(look, everyMs)
  const [code, signal] = await once(child, 'close').finally(() => clearInterval(timer))
  if (code !== 0) throw new Error(`${line}\nended with ${code ?? signal}: ${said.trim()}`)
  const [seconds = 0, user = 0, system = 0] = times.trim().split(' ').map(Number)
  return { seconds, cpuSeconds: user + system, peakBytes }
}

/** bash measures the time, including its children's. */
const timed = `
TIMEFORMAT='%3R %3U %3S'
{ time bash -o pipefail -c "$1" 2>&4 3>&- 4>&-; } 4>&2 2>&3
`
