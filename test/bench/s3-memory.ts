import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { s3Store } from '../../lib/stores/s3/store.ts'
import { realS3Servers } from '../servers/real-s3.ts'

/**
 * Memory of this process while it stores a stream: `tsx test/bench/s3-memory.ts [GB] [server]`. Needs
 * .ci/install-s3 and as much free space for temporary files. VersityGW keeps the part list in an extended
 * attribute, which ext4 limits to 4 KiB: there, completing such an object fails (500).
 */
const gigabytes = Number(process.argv[2] ?? 20)
const name = process.argv[3] ?? 'MinIO'
const start = realS3Servers[name]
if (start === undefined) throw new Error(`no server ${name}: ${Object.keys(realS3Servers).join(', ')}`)

const server = await start(['memory'])
const store = s3Store({ name: 'r2', ...server, ...server.withoutDelete, bucket: 'memory' })
const piece = randomBytes(2 ** 20)
const total = gigabytes * 1e9
let sent = 0
let peak = 0

function* pieces() {
  while (sent < total) {
    const size = Math.min(piece.length, total - sent)
    sent += size
    // Every chunk is new memory, like a pipe's.
    yield Buffer.from(piece.subarray(0, size))
  }
}

const began = Date.now()
const seconds = () => (Date.now() - began) / 1000
const megabytes = () => Math.round(process.memoryUsage.rss() / 1e6)
const watch = setInterval(() => {
  peak = Math.max(peak, megabytes())
}, 100)
const curve = setInterval(() => {
  console.log(`${seconds().toFixed(0)} s  ${(sent / 1e9).toFixed(1)} GB  RSS ${megabytes()} MB`)
}, 10_000)
console.log(`before: RSS ${megabytes()} MB`)
const body = Readable.from(pieces(), { objectMode: false, highWaterMark: 2 ** 20 })
const receipt = await store.create('stream', body).finally(() => server.close())
clearInterval(watch)
clearInterval(curve)
console.log(
  `${receipt.bytes} bytes in ${seconds().toFixed(0)} s, ${(receipt.bytes / 1e6 / seconds()).toFixed(0)} MB/s, ` +
    `peak RSS ${peak} MB, ${name}`,
)
await store.close()
