import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import path from 'node:path'

export interface PortRelay {
  close(): Promise<void>
}

/**
 * Makes this machine's 127.0.0.1:`port` answer at the same address in the network namespace of process `pid`.
 * Both sides connect through a socket file in `folder`, because a path belongs to no network.
 */
export async function relayPort(pid: number, port: number, folder: string): Promise<PortRelay> {
  const socket = path.join(folder, `port-${port}`)
  const server = createServer((from) => {
    const to = connect(port, '127.0.0.1')
    from.pipe(to).pipe(from)
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const)
      one.on('error', () => other.destroy())
  })
  server.listen(socket)
  await once(server, 'listening')
  const child = spawn(
    'nsenter',
    [
      `--target=${pid}`,
      '--net',
      process.execPath,
      '--input-type=commonjs',
      '--eval',
      listenInside,
      String(port),
      socket,
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const ended = once(child, 'exit')
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => {
      throw new Error(`port ${port} cannot be opened in the machine`)
    }),
  ])
  return {
    async close() {
      child.kill('SIGKILL')
      await ended
      server.close()
    },
  }
}

/** Ends with its standard input, and so with its parent. */
const listenInside = `
const { connect, createServer } = require('node:net')
const [port, socket] = process.argv.slice(1)
const server = createServer((from) => {
  const to = connect(socket)
  from.pipe(to).pipe(from)
  from.on('error', () => to.destroy())
  to.on('error', () => from.destroy())
})
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))
process.stdin.on('end', () => process.exit()).resume()
`
