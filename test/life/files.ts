/** A file in memory. Hard links are several names for one file. */
export interface HeldFile {
  content: Buffer
  modified: Date
  /** The number of its names. */
  links: number
}

export interface Named {
  key: string
  file: HeldFile
}

/** The content of a store in memory: files by key, in key order. */
export interface Files {
  get(key: string): HeldFile | undefined
  /** Gives a file a name, replacing any file that had it. */
  set(key: string, file: HeldFile): void
  delete(key: string): void
  /** A snapshot of the files whose key starts with this prefix. */
  under(prefix: string): Named[]
  /** Whether the file with this name takes up space. A file that does not still needs free space to exist. */
  counts(key: string): boolean
  /** The total size; a file with several names counts once. */
  bytes(): number
  /** Called with a key after its file was replaced or removed. */
  onChange?: (key: string) => void
}

/** `counts`: whether the file with this name takes up space. */
export function heldFiles(counts: (key: string) => boolean = () => true): Files {
  const byKey = new Map<string, HeldFile>()
  const sorted: Named[] = []
  let bytes = 0

  /** The first position whose key is not before this one. */
  const placeOf = (key: string): number => {
    let [low, high] = [0, sorted.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sorted[middle] as Named).key < key) low = middle + 1
      else high = middle
    }
    return low
  }
  const unlink = (key: string, file: HeldFile) => {
    file.links--
    if (file.links === 0 && counts(key)) bytes -= file.content.length
  }

  const files: Files = {
    get: (key) => byKey.get(key),

    set(key, file) {
      const before = byKey.get(key)
      if (file.links === 0 && counts(key)) bytes += file.content.length
      file.links++
      byKey.set(key, file)
      const place = placeOf(key)
      if (before === undefined) sorted.splice(place, 0, { key, file })
      else {
        sorted[place] = { key, file }
        unlink(key, before)
      }
      files.onChange?.(key)
    },

    delete(key) {
      const before = byKey.get(key)
      if (before === undefined) return
      byKey.delete(key)
      sorted.splice(placeOf(key), 1)
      unlink(key, before)
      files.onChange?.(key)
    },

    under(prefix) {
      const first = placeOf(prefix)
      let end = first
      while (end < sorted.length && (sorted[end] as Named).key.startsWith(prefix)) end++
      return sorted.slice(first, end)
    },

    counts,
    bytes: () => bytes,
  }
  return files
}
