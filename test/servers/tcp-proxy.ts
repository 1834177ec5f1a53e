import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { pipeline } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

/** A proxy between a client and a server on this machine: counts, delays, cuts. By default it passes all. */
export interface TcpProxy {
  port: number
  /** Bytes sent and connections made by clients so far. */
  sent(): number
  connections(): number
  /** Resolves once clients have sent this many more bytes. */
  sentMore(bytes: number): Promise<void>
  /** Holds back everything that clients send, until `resume`. */
  stall(): void
  resume(): void
  /** Holds the next `count` connections whose request starts with `head` until all have come. */
  meet(head: string, count: number): void
  /** Hangs up on every new connection, as a proxy before a dead server does; false ends it. */
  hangUp(on: boolean): void
  /** After this many more bytes `up` (from clients) or `down` (to them), breaks that connection once. */
  spoil(spoiling: Spoiling): void
  /** Cancels all planned faults; returns how many were left. */
  heal(): number
  /** Delays every piece by this many milliseconds. */
  slow(ms: number): void
  close(): Promise<void>
}

export interface Spoiling {
  direction: 'up' | 'down'
  after: number
  /** `cut` closes the connection, `reset` aborts it, `flip` flips one bit of the data. */
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

  /** Ends the connection or flips a bit if that is due in this piece. */
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
