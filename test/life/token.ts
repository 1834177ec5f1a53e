/** A byte of a simulated archive stands for so many of a real one. */
export const scale = 1e6

/** Content that says what it is, in the place of an archive; no smaller than what passes for an archive at all. */
export function tokenOf(item: string, version: number, bytes: number): Buffer {
  return Buffer.from(`${item} version ${version} `.padEnd(scaled(bytes), '.'))
}

/** How large the simulated archive of so many bytes is. */
export function scaled(bytes: number): number {
  return Math.max(80, Math.round(bytes / scale))
}

/** Which version of an item an archive holds; undefined for what is no token. */
export function readToken(content: Buffer): { item: string; version: number } | undefined {
  const [, item, version] = /^(\S+) version (\d+) \.*$/.exec(content.toString('latin1', 0, 80)) ?? []
  return item === undefined ? undefined : { item, version: Number(version) }
}
