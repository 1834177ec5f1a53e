import { createCipheriv } from 'node:crypto'
import { mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/**
 * Writes about `bytes` of files below a folder, a third each: text (2 to 46 KB), binaries that compress to
 * half (0.1 to 2 MB) and incompressible data (1 to 16 MB). Always the same bytes, and no two files alike.
 */
export function layMixed(folder: string, bytes: number, seed = 'mixed'): void {
  const noise = noiseOf(seed)
  const words = vocabulary(noise)
  const kinds = [
    { name: 'src', least: 2_000, most: 46_000, content: (size: number) => text(noise, words, size) },
    { name: 'lib', least: 100_000, most: 2_000_000, content: (size: number) => binary(noise, size) },
    { name: 'media', least: 1_000_000, most: 16_000_000, content: noise },
  ]
  for (const { name, least, most, content } of kinds) {
    let left = Math.round(bytes / kinds.length)
    for (let count = 0; left > 0; count++) {
      const size = Math.min(left, least + (noise(4).readUInt32LE() % (most - least)))
      write(path.join(folder, name), count, content(size))
      left -= size
    }
  }
}

/** Writes `count` small files of 200 bytes each. */
export function layMany(folder: string, count: number): void {
  const noise = noiseOf('many')
  for (let index = 0; index < count; index++)
    write(path.join(folder, `t${Math.floor(index / 10_000)}`), index, noise(200))
}

/** Gives one of `share` files below a folder new content of the same size; which ones, and what, goes by `turn`. */
export function changeSome(folder: string, share: number, turn: number): void {
  const noise = noiseOf(`turn ${turn}`)
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  for (const [index, { parentPath, name }] of files.entries()) {
    if (index % share !== turn % share) continue
    const file = path.join(parentPath, name)
    writeFileSync(file, noise(statSync(file).size))
  }
}

/** Writes one incompressible file. */
export function layNoise(file: string, bytes: number, seed: string): void {
  const noise = noiseOf(seed)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, '')
  for (let left = bytes; left > 0; left -= 16e6)
    writeFileSync(file, noise(Math.min(left, 16e6)), { flag: 'a' })
}

/** A hundred files per folder. */
function write(folder: string, index: number, content: Buffer): void {
  const inside = path.join(folder, `d${Math.floor(index / 100)}`)
  if (index % 100 === 0) mkdirSync(inside, { recursive: true })
  writeFileSync(path.join(inside, `f${index}`), content)
}

type Noise = (bytes: number) => Buffer

/** A cipher's key stream: random-looking, and the same for the same seed. */
function noiseOf(seed: string): Noise {
  const cipher = createCipheriv('aes-128-ctr', seed.padEnd(16).slice(0, 16), Buffer.alloc(16))
  return (bytes) => cipher.update(Buffer.alloc(bytes))
}

function vocabulary(noise: Noise): Buffer[] {
  const letters = 'eeeeeeetttttaaaaooooiiiinnnnssssrrrhhlldddcuumfpgwybvkxjqz'
  return Array.from({ length: 4096 }, (_, index) => {
    const bytes = noise(2 + (index % 10))
    const word = Array.from(bytes, (byte) => letters[byte % letters.length]).join('')
    const end = ['\n', '(', ', ', '; ', '.', ' = '][index % 37] ?? ' '
    return Buffer.from(word + end)
  })
}

/** Words, with those early in the vocabulary more frequent. */
function text(noise: Noise, words: readonly Buffer[], bytes: number): Buffer {
  const content = Buffer.alloc(bytes)
  const dice = noise(bytes + 4)
  for (let filled = 0, at = 0; filled < bytes; at += 4) {
    const index = (dice.readUInt16LE(at) * dice.readUInt16LE(at + 2)) >>> 20
    filled += (words[index] as Buffer).copy(content, filled)
  }
  return content
}

/** Records of 16 bytes: eight of noise, and eight of a slow counter. */
function binary(noise: Noise, bytes: number): Buffer {
  const content = noise(bytes)
  for (let at = 0; at + 16 <= bytes; at += 16) {
    content.writeUInt32LE(at >>> 6, at)
    content.writeUInt32LE(at >>> 10, at + 4)
  }
  return content
}
