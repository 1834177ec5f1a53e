/** A file in memory. Several names of one are hard links. */
export interface HeldFile {
  content: Buffer
  modified: Date
  /** How many names it has. */
  links: number
}

export interface Named {
  key: string
  file: HeldFile
}

/** What lies in a store that is only memory: files by key, in the order of their keys. */
export interface Files {
  get(key: string): HeldFile | undefined
  /** Gives a file a name, in the place of what had it. */
  set(key: string, file: HeldFile): void
  delete(key: string): void
  /** Those whose key begins so, as they are now. */
  under(prefix: string): Named[]
  /** Whether what has this name takes room; what does not still needs some to be there. */
  counts(key: string): boolean
  /** Of every file that counts once, however many names it has. */
  bytes(): number
  /** Told of each key after what it names has become another file, or none. */
  onChange?: (key: string) => void
}

/** `counts`: whether what has this name takes room. */
export function heldFiles(counts: (key: string) => boolean = () => true): Files {
  const byKey = new Map<string, HeldFile>()
  const sorted: Named[] = []
  let bytes = 0

  /** The first place whose key is not before this one. */
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
