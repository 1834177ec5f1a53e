import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** What stands between a client and a server of this machine: it counts, holds up, takes away. The content goes through as it is, unless it is spoilt. */
export interface TcpProxy {
  port: number
  /** Bytes that clients have sent so far, and connections that they have made. */
  sent(): number
  connections(): number
  /** Resolves as soon as clients have sent so many bytes, counted from now. */
  sentMore(bytes: number): Promise<void>
  /** Lets nothing more of what clients send through, until `resume`. */
  stall(): void
  resume(): void
  /** The next so many connections whose request begins with `head` wait until all of them are there, and then go on together. */
  meet(head: string, count: number): void
  /** From now on hangs up on whoever comes, as what stands before a server that is down; or no more. */
  hangUp(on: boolean): void
  /** Once so many more bytes have gone `up` (from clients) or `down` (to them), the connection on which that happens is spoilt, once. */
  spoil(spoiling: Spoiling): void
  /** Spoils nothing any more; returns how many spoilings were left over. */
  heal(): number
  /** Holds every piece up for so long, in milliseconds. */
  slow(ms: number): void
  close(): Promise<void>
}

export interface Spoiling {
  direction: 'up' | 'down'
  after: number
  /** `cut` closes the connection, `reset` ends it without a farewell, `flip` turns one bit of what passes. */
  how: 'cut' | 'reset' | 'flip'
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let sent = 0
  let connections = 0
  let hangingUp = false
  let slowMs = 0
  let spoilings: Spoiling[] = []
  let stalled: { over: Promise<void>; end(): void } | undefined
  let meeting: { head: string; count: number; waiting: (() => void)[] } | undefined
  const watches = new Set<{ at: number; reached(): void }>()

  async function pass(chunk: Buffer): Promise<void> {
    await stalled?.over
    if (meeting && chunk.subarray(0, meeting.head.length).equals(Buffer.from(meeting.head)))
      await arrive(meeting)
    sent += chunk.length
    for (const watch of watches) {
      if (sent < watch.at) continue
      watches.delete(watch)
      watch.reached()
    }
  }

  function arrive({ count, waiting }: NonNullable<typeof meeting>): Promise<void> {
    return new Promise((goOn) => {
      waiting.push(goOn)
      if (waiting.length < count) return
      meeting = undefined
      for (const go of waiting) go()
    })
  }

  /** Ends the connection, or turns a bit, where that is due in this piece. */
  function spoilt(direction: Spoiling['direction'], chunk: Buffer, client: Socket): Buffer {
    let piece = chunk
    for (const spoiling of spoilings.filter((each) => each.direction === direction)) {
      if (spoiling.after < piece.length) {
        spoilings = spoilings.filter((each) => each !== spoiling)
        if (spoiling.how === 'flip') {
          piece = Buffer.from(piece)
          piece[spoiling.after] = (piece[spoiling.after] as number) ^ 1
        } else {
          piece = piece.subarray(0, spoiling.after)
          if (spoiling.how === 'reset') client.resetAndDestroy()
          else client.destroy()
        }
      }
      spoiling.after -= chunk.length
    }
    return piece
  }

  function passing(direction: Spoiling['direction'], client: Socket) {
    return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        if (direction === 'up') await pass(chunk)
        if (slowMs > 0) await sleep(slowMs)
        yield spoilt(direction, chunk, client)
      }
    }
  }

  function serve(client: Socket): void {
    connections += 1
    if (hangingUp) {
      client.destroy()
      return
    }
    const target = connect(targetPort, '127.0.0.1')
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    }
    pipeline(client, passing('up', client), target, () => client.destroy())
    pipeline(target, passing('down', client), client, () => target.destroy())
  }

  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const cutAll = () => {
    for (const socket of sockets) socket.destroy()
  }

  return {
    port,
    sent: () => sent,
    connections: () => connections,
    sentMore: (bytes) => new Promise((reached) => watches.add({ at: sent + bytes, reached })),
    stall() {
      let end = () => {}
      const over = new Promise<void>((resolve) => {
        end = resolve
      })
      stalled = { over, end }
    },
    resume() {
      stalled?.end()
      stalled = undefined
    },
    meet(head, count) {
      meeting = { head, count, waiting: [] }
    },
    hangUp(on) {
      hangingUp = on
      if (on) cutAll()
    },
    spoil(spoiling) {
      spoilings.push({ ...spoiling })
    },
    heal: () => spoilings.splice(0).length,
    slow(ms) {
      slowMs = ms
    },
    async close() {
      const closed = once(server, 'close')
      server.close()
      cutAll()
      await closed
    },
  }
}
