import { once } from 'node:events'
import { createInterface } from 'node:readline/promises'

/** Asks on the terminal; only the whole word yes is a yes. Whoever breaks off (Ctrl-C, Ctrl-D) has said no. */
export async function confirmed(question: string): Promise<boolean> {
  const asked = createInterface({ input: process.stdin, output: process.stderr })
  try {
    // Some versions of Node reject the question then, others leave it unanswered for ever.
    const unanswered = once(asked, 'close').then(() => '')
    const answered = asked.question(question).catch(() => '')
    const answer = await Promise.race([answered, unanswered])
    if (answer === '') process.stderr.write('\n')
    return answer.trim().toLowerCase() === 'yes'
  } finally {
    asked.removeAllListeners('close')
    asked.close()
  }
}
