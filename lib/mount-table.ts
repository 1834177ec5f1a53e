/** A line of /proc/self/mountinfo, of which proc(5) tells. */
export interface Mount {
  /** What is mounted: a device, or `host:/path`. */
  source: string
  type: string
  options: string[]
}

/** What is mounted at exactly that folder, last of all. Pure. */
export function mountAt(mountinfo: string, folder: string): Mount | undefined {
  let found: Mount | undefined
  for (const line of mountinfo.split('\n')) {
    const [own = '', theirs = ''] = line.split(' - ')
    const [, , , , at = '', mountOptions = ''] = own.split(' ')
    const [type = '', source = '', superOptions = ''] = theirs.split(' ')
    if (unescaped(at) !== folder) continue
    // `rw` of the mount and `ro` of the file system below it: both are told.
    found = {
      source: unescaped(source),
      type,
      options: [...new Set([...mountOptions.split(','), ...superOptions.split(',')])],
    }
  }
  return found
}

/** The kernel writes space, tab, newline and backslash as three octal digits. */
function unescaped(text: string): string {
  return text.replace(/\\(\d{3})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)))
}
