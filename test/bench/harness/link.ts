import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A line between a client and a server on this machine. */
export interface Link {
  endpoint: string
  close(): Promise<void>
}

export interface LinkOptions {
  bytesPerSecond: number
  delayMs: number
  /** Bytes in flight per connection, like a long line's buffers: if few, no connection fills the line. */
  windowBytes?: number
}

/**
 * A relay to `endpoint` that stands for the internet: `bytesPerSecond` each way, shared by all connections,
 * and a delay of `delayMs` each way. A client is only as fast as its data in flight.
 */
export async function openLink(
  endpoint: string,
  { bytesPerSecond, delayMs, windowBytes = 4 * 2 ** 20 }: LinkOptions,
): Promise<Link> {
  const target = new URL(endpoint)
  const sockets = new Set<Socket>()
  const [up, down] = [line(bytesPerSecond, delayMs), line(bytesPerSecond, delayMs)]
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const far = connect({ port: Number(target.port), host: target.hostname, allowHalfOpen: true })
    for (const [from, to, carry] of [
      [client, far, up],
      [far, client, down],
    ] as const) {
      sockets.add(from)
      from.setNoDelay(true)
      from.on('error', () => {}).on('close', () => sockets.delete(from))
      let onTheWay = 0
      from.on('data', (chunk) => {
        onTheWay += chunk.length
        if (onTheWay > windowBytes) from.pause()
        carry(chunk.length, () => {
          onTheWay -= chunk.length
          if (onTheWay <= windowBytes) from.resume()
          if (!to.destroyed) to.write(chunk)
        })
      })
      from.on('end', () => carry(0, () => to.end()))
      from.on('close', (broken) => broken && carry(0, () => to.destroy()))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** One direction: data leaves in order at the rate, and arrives in order after the delay. */
function line(bytesPerSecond: number, delayMs: number) {
  const onTheWay: { at: number; arrived(): void }[] = []
  let free = 0
  let waiting = false

  function deliver(): void {
    waiting = false
    while (onTheWay[0] !== undefined && onTheWay[0].at <= performance.now()) onTheWay.shift()?.arrived()
    const [next] = onTheWay
    if (next === undefined) return
    waiting = true
    setTimeout(deliver, next.at - performance.now())
  }

  return (bytes: number, arrived: () => void): void => {
    free = Math.max(free, performance.now()) + (bytes / bytesPerSecond) * 1000
    onTheWay.push({ at: free + delayMs, arrived })
    if (!waiting) deliver()
  }
}
