import type { ChildProcessByStdio } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { letGo } from '../blocks.ts'
import { type Host, HostError, mostAnswer, type Outcome } from './host.ts'
import { pipedOutput } from './output.ts'
import type { Command } from './script.ts'
import { scriptStream } from './stream.ts'

export type Child = ChildProcessByStdio<Writable, Readable | null, Readable>

/** What is known of a script whose end was not heard of. */
export interface Lost {
  /** Whether the script itself had begun. */
  begun: boolean
  code: number | null
  signal: NodeJS.Signals | null
  /** What was printed: standard error, and anything on standard output before the script began. */
  said: string
}

/** How one kind of host starts a command, and what it says when that command's end was not heard of. */
export interface Way {
  name: string
  /** Spawns in a process group of its own, with pipes but for the standard output that is given. Throws HostError when there is no way to the host. */
  start(command: Command, stdout: Socket | 'pipe'): Promise<Child>
  explain(lost: Lost): HostError
  close(): Promise<void>
}

/** A host, once it is known how a command is started there. */
export function hostBy(way: Way, root: string): Host {
  return {
    name: way.name,
    root: root.replace(/(?<=.)\/+$/, ''),
    stream: (script, args, judge, options) => scriptStream(way, script, args, judge, options),
    async run(script, args, options) {
      let outcome: Outcome = { exitCodes: [], stderr: '' }
      const judge = (heard: Outcome) => {
        outcome = heard
      }
      const chunks: Buffer[] = []
      let bytes = 0
      for await (const chunk of scriptStream(way, script, args, judge, options, pipedOutput)) {
        bytes += chunk.length
        if (bytes > mostAnswer) throw tooMuch(way.name)
        chunks.push(chunk)
      }
      const stdout = Buffer.concat(chunks)
      letGo(chunks)
      return { ...outcome, stdout }
    },
    close: () => way.close(),
  }
}

function tooMuch(name: string): HostError {
  return new HostError(
    `${name} answered with more than ${mostAnswer / 2 ** 20} MiB where a short answer is expected: it was cut off. Somebody may be playing with that machine, ` +
      'or a folder there holds millions of files: look at it',
  )
}
