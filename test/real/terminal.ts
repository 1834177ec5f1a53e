import { stripVTControlCharacters } from 'node:util'
import type { BareMachine, MachineRun } from '../servers/bare-machine.ts'

/**
 * Runs a command on a terminal, as an operator does, and answers its one question. `stdout` is all that was
 * visible, without colours and overwritten progress lines.
 */
export async function atTerminal(
  machine: BareMachine,
  command: string,
  { question, answer, columns = 120 }: { question: string; answer: string; columns?: number },
): Promise<MachineRun> {
  const run = await machine.run(['python3', '-c', script, command, question, answer, `${columns}`])
  // A progress line erases itself before anything replaces it.
  const seen = run.stdout.split(/\r?\n/).map((line) => line.split('\x1b[1G\x1b[0K').at(-1) as string)
  return { ...run, stdout: stripVTControlCharacters(seen.join('\n')) }
}

const script = `
import fcntl, os, pty, struct, sys, termios

command, question, answer = sys.argv[1:4]
columns = int(sys.argv[4])
child, terminal = pty.fork()
if child == 0:
    os.execvp('bash', ['bash', '--norc', '-c', command])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 50, columns, 0, 0))
seen, asked = b'', False
while True:
    try:
        data = os.read(terminal, 65536)
    except OSError:
        break
    if not data:
        break
    seen += data
    sys.stdout.buffer.write(data)
    if not asked and question.encode() in seen:
        asked = True
        os.write(terminal, answer.encode() + b'\\r')
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
`
