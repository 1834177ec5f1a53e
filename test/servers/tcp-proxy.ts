import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { pipeline } from 'node:stream'

/** What stands between a client and a server of this machine: it counts, holds up, takes away. The content goes through as it is. */
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
  close(): Promise<void>
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  const sockets = new Set<Socket>()
  let sent = 0
  let connections = 0
  let hangingUp = false
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

  async function* passing(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      await pass(chunk)
      yield chunk
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
    pipeline(client, passing, target, () => client.destroy())
    pipeline(target, client, () => target.destroy())
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
    async close() {
      const closed = once(server, 'close')
      server.close()
      cutAll()
      await closed
    },
  }
}
