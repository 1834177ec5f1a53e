const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Tells whoever breaks `run` off what that leaves; the process then ends as the signal wants. */
export async function tellingOfBreak<T>(text: string, run: () => Promise<T>): Promise<T> {
  const tell = (signal: NodeJS.Signals) => {
    process.stderr.write(`\n${text}\n`)
    process.kill(process.pid, signal)
  }
  for (const signal of signals) process.once(signal, tell)
  try {
    return await run()
  } finally {
    for (const signal of signals) process.off(signal, tell)
  }
}
