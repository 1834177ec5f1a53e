import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** A line between a client and a server of this machine. */
export interface Link {
  endpoint: string
  close(): Promise<void>
}

export interface LinkOptions {
  bytesPerSecond: number
  delayMs: number
  /** So much of one connection is on its way at once, as in the buffers of a long line: with a small one, no single connection fills the line. */
  windowBytes?: number
}

/**
 * A relay to `endpoint` that lets through `bytesPerSecond` each way, over all connections together, and keeps everything back for `delayMs` each way.
 * It stands for the internet: on it a client is as good as what it has on its way at once.
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

/** One direction: what comes leaves in turn, at the rate, and arrives in the same order after the delay. */
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
