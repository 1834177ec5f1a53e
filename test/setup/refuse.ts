import childProcess from 'node:child_process'
import { syncBuiltinESMExports } from 'node:module'

/** Makes every start of a process whose words `isRefused` an error that says in which project such a test belongs. */
export function refuseProcesses(isRefused: (words: string) => boolean, belongs: string): void {
  const real = { ...childProcess }
  const guarded = ['exec', 'execFile', 'execFileSync', 'execSync', 'fork', 'spawn', 'spawnSync'] as const
  for (const name of guarded) {
    const call = real[name] as (...given: unknown[]) => unknown
    Object.assign(childProcess, {
      [name]: (program: unknown, args: unknown, ...rest: unknown[]) => {
        const words = [program, ...(Array.isArray(args) ? args : [])].join(' ')
        if (isRefused(words)) throw new Error(`this test must not start "${words}": ${belongs}`)
        return call(program, args, ...rest)
      },
    })
  }
  syncBuiltinESMExports()
}
