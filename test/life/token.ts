/** How many real bytes one byte of a simulated archive represents. */
export const scale = 1e6

/** Content that identifies itself, instead of an archive; no smaller than an acceptable archive. */
export function tokenOf(item: string, version: number, bytes: number): Buffer {
  return Buffer.from(`${item} version ${version} `.padEnd(scaled(bytes), '.'))
}

/** The size of the simulated archive for this many bytes. */
export function scaled(bytes: number): number {
  return Math.max(80, Math.round(bytes / scale))
}

/** The version that an archive holds; undefined if it is no token. */
export function readToken(content: Buffer): { item: string; version: number } | undefined {
  const [, item, version] = /^(\S+) version (\d+) \.*$/.exec(content.toString('latin1', 0, 80)) ?? []
  return item === undefined ? undefined : { item, version: Number(version) }
}
