import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { openLink } from './bench/harness/link.ts'

test('a link brings everything over, in order, no faster than its rate and no sooner than its delay', async () => {
  const content = createCipheriv('aes-128-ctr', 'k'.repeat(16), Buffer.alloc(16)).update(
    Buffer.alloc(3_000_000),
  )
  const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket))
  await once(echo.listen(0, '127.0.0.1'), 'listening')
  const endpoint = `http://127.0.0.1:${(echo.address() as AddressInfo).port}`
  const link = await openLink(endpoint, { bytesPerSecond: 20e6, delayMs: 30 })
  try {
    const client = connect({
      port: Number(new URL(link.endpoint).port),
      host: '127.0.0.1',
      allowHalfOpen: true,
    })
    const begun = performance.now()
    client.end(content)
    const back = await buffer(client)
    const took = performance.now() - begun
    expect(back.equals(content)).toBe(true)
    expect(took).toBeGreaterThan(3_000_000 / 20_000 + 2 * 30 - 5)
  } finally {
    await link.close()
    echo.close()
  }
})
