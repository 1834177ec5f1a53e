/** One member of an archive, as it stands in its header; nothing is checked, so that headers can lie. */
export interface Member {
  name: string | Buffer
  /** A file when absent. */
  type?: keyof typeof types
  content?: string | Buffer
  /** Of links. */
  link?: string | Buffer
  mode?: number
  uid?: number
  gid?: number
  /** Seconds since 1970. */
  mtime?: number
  /** In the place of the content's. */
  size?: number
  device?: [major: number, minor: number]
  /** Extended headers before this member. */
  pax?: Record<string, string>
  /** Those that hold for all members from here on. */
  global?: Record<string, string>
}

const types = {
  file: '0',
  'hard link': '1',
  link: '2',
  'character device': '3',
  'block device': '4',
  folder: '5',
  fifo: '6',
  contiguous: '7',
  'dumped folder': 'D',
  'long link name': 'K',
  'long name': 'L',
  continuation: 'M',
  'old long name': 'N',
  'old sparse': 'S',
  volume: 'V',
  'extended headers': 'x',
  'global headers': 'g',
} as const

export const memberTypes = Object.keys(types) as (keyof typeof types)[]

/** An archive with exactly these members, written byte by byte, because tar itself would not make most of them. */
export function tarOf(...members: readonly Member[]): Buffer {
  return Buffer.concat([...members.flatMap(blocks), Buffer.alloc(1024)])
}

function blocks(member: Member): Buffer[] {
  const content = Buffer.from(member.content ?? '')
  const before = [
    ...(member.global ? [{ type: 'global headers' as const, content: paxText(member.global) }] : []),
    ...(member.pax ? [{ type: 'extended headers' as const, content: paxText(member.pax) }] : []),
  ]
  return [
    ...before.flatMap((headers) => blocks({ name: 'headers', ...headers })),
    header(member, content.length),
    content,
    Buffer.alloc((512 - (content.length % 512)) % 512),
  ]
}

/** `<length> <keyword>=<value>` lines, the length counting itself. */
function paxText(headers: Record<string, string>): Buffer {
  const lines = Object.entries(headers).map(([keyword, value]) => {
    const rest = Buffer.byteLength(` ${keyword}=${value}\n`)
    const digits = String(rest + String(rest).length).length
    return `${rest + digits} ${keyword}=${value}\n`
  })
  return Buffer.from(lines.join(''))
}

/** POSIX.1-1988 (ustar). A name longer than its field is cut. */
function header(member: Member, bytes: number): Buffer {
  const block = Buffer.alloc(512)
  const type = types[member.type ?? 'file']
  const octal = (value: number, at: number, length: number) =>
    block.write(
      `${Math.trunc(value)
        .toString(8)
        .padStart(length - 1, '0')}\0`,
      at,
      'latin1',
    )
  Buffer.from(member.name).copy(block, 0, 0, 100)
  octal(member.mode ?? (type === '5' ? 0o755 : 0o644), 100, 8)
  octal(member.uid ?? process.getuid?.() ?? 0, 108, 8)
  octal(member.gid ?? process.getgid?.() ?? 0, 116, 8)
  octal(member.size ?? bytes, 124, 12)
  octal(member.mtime ?? 1_700_000_000, 136, 12)
  block.write(type, 156, 'latin1')
  Buffer.from(member.link ?? '').copy(block, 157, 0, 100)
  block.write('ustar\x0000', 257, 'latin1')
  const [major, minor] = member.device ?? [0, 0]
  octal(major, 329, 8)
  octal(minor, 337, 8)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}
