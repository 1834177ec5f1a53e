import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'

/** Asks on the terminal. y and yes mean yes. Ctrl-C and Ctrl-D mean no. */
export async function confirmed(question: string): Promise<boolean> {
  const asked = createInterface({ input: process.stdin, output: process.stderr })
  try {
    // On Ctrl-C some versions of Node reject the question, others never answer it.
    const unanswered = once(asked, 'close').then(() => '')
    const answered = asked.question(question).catch(() => '')
    const answer = await Promise.race([answered, unanswered])
    if (answer === '') process.stderr.write('\n')
    return ['y', 'yes'].includes(answer.trim().toLowerCase())
  } finally {
    asked.removeAllListeners('close')
    asked.close()
  }
}

/** Until disposed, prints what an interrupted run leaves behind, then ends as the signal asks. */
export function tellingOfBreak(text: () => string): Disposable {
  const tell = (signal: NodeJS.Signals) => {
    // Readline and the spinner leave both otherwise.
    if (process.stdin.isTTY) process.stdin.setRawMode(false)
    process.stderr.write(`${process.stderr.isTTY ? '\x1b[?25h' : ''}\n${text()}\n`)
    // tsx also listens, and would let the run continue.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }
  for (const signal of signals) process.once(signal, tell)
  return {
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, tell)
    },
  }
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
