import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { withScratch } from '../scratch.ts'
import { type Frame, pour } from './frame.ts'
import type { Child } from './way.ts'

/** Given pieces of a child's output; returns whether more is wanted now. */
type Take = (pieces: Buffer[]) => boolean

/** What a child prints, on its way into a frame. */
export interface Output {
  /** For the child's spawn. */
  stdout: Socket | 'pipe'
  /** To be called when the child runs. Paused by `take`, the stream is to be resumed. */
  from(child: Child): Readable
  /** To be called when the child cannot be started. */
  abandon(): void
}

/** Output that goes from the kernel straight into the frame. Where no folder can be made for the way there (a full disk), by way of Node's own pipe. */
export async function directOutput(frame: Frame, take: Take): Promise<Output> {
  const pair = await socketPair(frame, take).catch(() => undefined)
  if (pair === undefined) return pipedOutput(frame, take)
  const { here, forChild } = pair
  return {
    stdout: forChild,
    from() {
      forChild.destroy()
      return here.resume()
    },
    abandon() {
      forChild.destroy()
      here.destroy()
    },
  }
}

/** Output that Node reads, in pieces of 64 KiB, each into memory that is allocated for it, from which it is copied into the frame. */
export function pipedOutput(frame: Frame, take: Take): Output {
  return {
    stdout: 'pipe',
    from({ stdout }) {
      const output = stdout as Readable
      return output.on('data', (chunk) => {
        if (!take(pour(chunk, frame))) output.pause()
      })
    },
    abandon() {},
  }
}

/** Both ends of a socket, as a spawn makes them for a pipe. Node lets nobody say where a child's output is read to; of a socket of one's own, it does. */
async function socketPair(frame: Frame, take: Take): Promise<{ here: Socket; forChild: Socket }> {
  const server = createServer({ pauseOnConnect: true })
  const onread = { buffer: () => frame.room(), callback: (count: number) => take(frame.filled(count)) }
  try {
    return await withScratch(tmpdir(), 'comfyume-output', async (folder) => {
      const socket = path.join(folder, 'socket')
      await once(server.listen(socket), 'listening')
      const connected = once(server, 'connection')
      const here = connect({ path: socket, onread })
      await once(here, 'connect')
      const [forChild] = (await connected) as [Socket]
      return { here, forChild }
    })
  } finally {
    server.close()
  }
}
