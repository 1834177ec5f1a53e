import type { Source } from './inventory.ts'
import { bytesInWords, printable, quote } from './text.ts'

/**
 * What an archive may contain, and what is no backup of an item (law 11). Capture, doctor, verify, drill and
 * restore all ask here, so they agree. Pure. Reasons complete a sentence that names the item, with what to do
 * if anything.
 */

/** The longest path below `/` that comes back, in bytes: Linux allows 4095, and restore adds a folder. */
export const longestPath = 3584

/** The longest file name on Linux file systems, in bytes. */
const longestName = 255

/** Why one member is neither backed up nor restored; the rest of its item is. */
export type UnfitKind = 'device' | 'socket' | 'name too long' | 'path too long'

/**
 * Judges a member by its path below `/` (a string with one byte per character) and its type as find's `%y`
 * prints it. Undefined: it is data. Links and named pipes are always data; links are never followed during
 * writes.
 */
export function unfit(path: string, type: string): UnfitKind | undefined {
  if (type === 's') return 'socket'
  if (!['f', 'd', 'l', 'p'].includes(type)) return 'device'
  if (path.length > longestPath) return 'path too long'
  return path.split('/').some((name) => name.length > longestName) ? 'name too long' : undefined
}

/** Types for find's `-type` that an archive must not contain. No sockets: tar skips them without loss. */
export const deviceTypes = ['b', 'c'] as const

/** A pattern for find and tar that matches too long paths; both are content with the beginning. */
export const tooLongPattern = `${'?'.repeat(longestPath + 1)}*`

/** What operators should know about a backup. It belongs to the copy, so unchanged runs repeat it. */
export type Warning =
  | { kind: UnfitKind; path: string }
  /** A disk mounted below a source: no archive has its content. */
  | { kind: 'other file system'; path: string }
  /** A path that the backup user may not read. Its item fails, but the rest of it is stored. */
  | { kind: 'unreadable'; path: string }
  /** A source on a file system that does not answer. Its item fails, but the rest of it is stored. */
  | { kind: 'hangs'; path: string }
  /** A folder above a source that this user cannot enter. Its item fails, as its content is unknown. */
  | { kind: 'closed'; path: string }
  /** An optional source that is itself a link: no archive has the target. */
  | { kind: 'source is a link'; path: string }
  /** A database that could not be copied in one state, and was packed as is. */
  | { kind: 'torn database'; path: string }
  /** Changed during both of two readings. */
  | { kind: 'changed'; path: string }
  /** Something below the source has a time in the future, so later changes to it would not show. */
  | { kind: 'future time'; path: string }
  /** An image named by a digest, which comes back only under its tags. */
  | { kind: 'named by digest'; path: string; tags: readonly string[] }

/** What fails an item though the rest of it is stored. */
export function whatIsUnreadable(warnings: readonly Warning[]): string[] {
  return warnings.filter(isUnread).map(warningText)
}

export function isUnread({ kind }: Warning): boolean {
  return ['unreadable', 'hangs', 'closed'].includes(kind)
}

/** A warning as a sentence. */
export function warningText(warning: Warning): string {
  const path = printable(warning.path)
  switch (warning.kind) {
    case 'device':
      return `${path} is a device and is left out`
    case 'socket':
      return `${path} is a socket and is left out`
    case 'name too long':
    case 'path too long':
      return `${shortened(path)} is left out: its ${warning.kind.replace(' ', ' is ')}`
    case 'other file system':
      return `${path} is on another file system and is left out`
    case 'unreadable':
      return `${path} cannot be read and is in no backup. On its host: sudo chown -R dev: ${quote(path)} && chmod -R u+rX ${quote(path)}`
    case 'hangs':
      return `${path} hangs and is in no backup: its file system does not answer. On its host: findmnt -T ${quote(path)}; check that its server is up, or unmount it (umount -l)`
    case 'closed':
      return `${path} cannot be entered, and what is below it is in no backup. On its host: ls -ld ${quote(path)}; to open it: sudo setfacl -m u:dev:rx ${quote(path)}`
    case 'source is a link':
      return `${path} is a link: what it leads to is left out. Make it a folder, or mount the other one there (mount --bind)`
    case 'torn database':
      return `the database ${path} was busy, or TMPDIR had no space for a copy: it was archived as it was`
    case 'changed':
      return `${path} changed while it was read, twice`
    case 'future time':
      return `a file in ${path} has a time in the future: set the clock right, then touch it`
    case 'named by digest':
      return `it is named by a digest (${path}), and comes back as ${warning.tags.join(', ')}: use that name in compose files and in CONTAINER_IMAGES`
  }
}

function shortened(path: string): string {
  return path.length > 200 ? `${path.slice(0, 100)}…${path.slice(-60)} (${path.length} characters)` : path
}

/** The size of one source of an item, on its host or in a record. */
export interface SourceSize {
  /** As in the inventory, with its pattern: see sourceName. */
  source: string
  /** Regular files that are not empty. */
  files: number
  /** Their size in bytes, uncompressed. */
  bytes: number
}

/** One source as found on its host. */
export interface FoundSource extends SourceSize {
  is: 'there' | 'missing' | 'link' | 'hangs' | 'closed'
}

export function sourceName({ path, match }: Source): string {
  return match === undefined ? path : `${path}/${match}`
}

/** Why an item's sources cannot become a backup; undefined if they can. `found`: in the sources' order. */
export function whyNoBackup(
  sources: readonly Source[],
  found: readonly FoundSource[],
  host: string,
): string | undefined {
  const of = (is: (one: FoundSource, source: Source) => boolean) =>
    found.filter((one, index) => is(one, sources[index] as Source)).map(({ source }) => source)
  const holds = found.some(({ files }) => files > 0)
  const closed = of(({ is }, { required }) => is === 'closed' && (required || !holds))
  if (closed.length > 0)
    return `${closed.join(', ')} on ${host}: it cannot be opened, so its content is unknown`
  const missing = of(({ is }, { required }) => required && is === 'missing')
  if (missing.length > 0) return `${missing.join(', ')} missing on ${host}: nothing there to back up`
  const hanging = of(({ is }, { required }) => required && is === 'hangs')
  if (hanging.length > 0) return `${hanging.join(', ')} does not answer on ${host}: nothing can be backed up`
  const links = of(({ is }, { required }) => required && is === 'link')
  if (links.length > 0)
    return (
      `${links.join(', ')} on ${host} is only a link, and what it leads to would not be in the archive. ` +
      'Make it a folder, or mount the other one there (mount --bind)'
    )
  const empty = of(({ files }, { required, mayBeEmpty }) => required && mayBeEmpty !== true && files === 0)
  if (empty.length > 0) return `${empty.join(', ')} on ${host}: ${noContent}`
  // The folders of optional sources exist on every Debian, but empty.
  return holds || isAbsent(sources, found)
    ? undefined
    : `${found.map(({ source }) => source).join(', ')} on ${host}: ${noContent}`
}

const noContent = 'no file has content; an empty archive is not a backup'

/** Whether an item does not exist on its host, and need not. A link exists; what hangs is unknown. */
export function isAbsent(sources: readonly Source[], found: readonly FoundSource[]): boolean {
  return (
    sources.every(({ required }) => !required) &&
    found.every(({ is, files }) => files === 0 && !['link', 'hangs', 'closed'].includes(is))
  )
}

/**
 * Law 5: why an item must not follow the previous copy: a source has less than half of the files or bytes in
 * its record. Undefined if it may. Records of older versions name no sources.
 */
export function whyShrunken(
  now: readonly SourceSize[],
  before: readonly SourceSize[] = [],
): string | undefined {
  for (const was of before) {
    const is = now.find(({ source }) => source === was.source) ?? { files: 0, bytes: 0 }
    if (is.files * 2 < was.files)
      return `${was.source} ${shrank(was.files, is.files, (files) => `${files} ${files === 1 ? 'file' : 'files'}`)}`
    if (is.bytes * 2 < was.bytes) return `${was.source} ${shrank(was.bytes, is.bytes)}`
  }
  return undefined
}

/** `shrank from 2.0 GB to 600 MB, to 29 % (limit 50 %)` */
export function shrank(before: number, now: number, inWords = bytesInWords): string {
  const percent = Math.floor((100 * now) / before)
  return `shrank from ${inWords(before)} to ${inWords(now)}, to ${percent} % (limit 50 %)`
}

/** The same for an archive whose sources were not counted. */
export function whyNoSuccessor(bytes: number, before?: { key: string; bytes?: number }): string | undefined {
  if (before?.bytes === undefined || bytes * 2 >= before.bytes) return undefined
  return `it ${shrank(before.bytes, bytes)}, compared with ${before.key}: it would replace one that holds more`
}

/** What is known about the content of an archive, or of its unpacked tree. */
export interface Content {
  /** Regular files that are not empty, if counted. */
  files?: number
  /** Patterns of mustHaveOf that match no member. */
  lacking: readonly string[]
}

/** Shell patterns, each of which must match a member of the archive. */
export function mustHaveOf(sources: readonly Source[]): string[] {
  return sources.flatMap(({ mustHave }) => mustHave ?? [])
}

/** Why an archive is worthless, by any maker; undefined if it is not. Every copy is checked for this. */
export function whyWorthless({ files, lacking }: Content): string | undefined {
  if (lacking.length > 0)
    return `the archive has no ${lacking.join(' and no ')} with content; without that it is not a backup`
  return files === 0 ? noContent : undefined
}

/** A file whose content decides whether its item is valid. */
export interface Keystone {
  /** From `/`. */
  file: string
  kind: KeystoneKind
}

export type KeystoneKind = NonNullable<Source['keystones']>[number]['kind']

/** An item's keystones. A capture checks them on the host, a restore in the unpacked tree. */
export function keystonesOf(sources: readonly Source[]): Keystone[] {
  return sources.flatMap(({ path, keystones = [] }) =>
    keystones.map(({ file, kind }) => ({ file: `${path}/${file}`, kind })),
  )
}

/** Why a keystone's content makes its item worthless; undefined if it does not. */
export function whyWorthlessText({ kind }: Keystone, text: string): string | undefined {
  return { 'tailscale identity': whyNoIdentity }[kind](text)
}

/** For a `tailscaled.state`. tailscaled would start with any of these, but as a new node or with none. */
function whyNoIdentity(text: string): string | undefined {
  const state = readObject(text)
  if (state === undefined) return 'its tailscaled.state is empty or cut short'
  if (state === 'other') return 'its tailscaled.state is not a state of tailscaled'
  const { nonce, data, _machinekey: machine, '_current-profile': current, _daemon: daemon } = state
  // Written by ipn/store/tpm.
  if (nonce && data) return sealed
  // Before 2022 there were no profiles; the machine's was `_daemon`.
  if (Object.keys(state).length === 0 || (machine && !current && !daemon))
    return 'its tailscaled.state holds no identity: tailscale was logged out when it was backed up'
  const profile = typeof current === 'string' ? Buffer.from(current, 'base64').toString() : ''
  if (profile.startsWith('profile-') && !state[profile])
    return `its tailscaled.state names ${printable(profile)} but does not contain it`
  return undefined
}

const sealed =
  'its tailscaled.state is sealed with the TPM of its machine, so no other machine can read it. Turn sealing off there before the next backup: ' +
  'echo \'FLAGS="--encrypt-state=false"\' >>/etc/default/tailscaled && systemctl restart tailscaled. Without an older copy, log the new machine in ' +
  '(tailscale up --ssh=false) and give it the expected address in the admin console'

/** What an image archive says about itself: the texts of these two members, if present. */
export interface ImageTexts {
  /** From docker save and `podman save`. */
  'manifest.json'?: string
  /** From an OCI layout. */
  'index.json'?: string
}

/** Judges an uncompressed image archive by its texts and member paths. Tags are those an engine gives it. */
export function judgeImage(
  texts: ImageTexts,
  members: ReadonlySet<string>,
): { tags: string[]; flaw?: string } {
  const docker = parsed(texts['manifest.json'])
  const oci = parsed(texts['index.json'])
  const images = Array.isArray(docker) ? docker.filter(isObject) : []
  const manifests = isObject(oci) && Array.isArray(oci.manifests) ? oci.manifests.filter(isObject) : []
  const needed = [
    ...images.flatMap(({ Config, Layers }) => [Config, ...(Array.isArray(Layers) ? Layers : [])]),
    ...manifests.map(({ digest }) => `blobs/${String(digest).replace(':', '/')}`),
  ]
  const tags = new Set([
    ...images.flatMap(({ RepoTags }) => (Array.isArray(RepoTags) ? RepoTags : [])),
    ...manifests.flatMap(({ annotations: a }) =>
      isObject(a) ? [a[containerdName] ?? a[ociName] ?? []] : [],
    ),
  ])
  const missing = needed.filter((path) => typeof path !== 'string' || !members.has(path))
  const flaw =
    needed.length === 0
      ? 'the saved image is incomplete: it has no manifest'
      : missing.length > 0
        ? `the saved image is incomplete: ${missing.length} of ${needed.length} parts are missing`
        : undefined
  return { tags: [...tags].map(String), flaw }
}

const containerdName = 'io.containerd.image.name'
const ociName = 'org.opencontainers.image.ref.name'

/** A captured image's tags, from its record's fingerprint: a restore gives it these. */
export function tagsOfImage(fingerprint = ''): string[] {
  return fingerprint
    .split(' ')
    .slice(1)
    .filter((tag) => tag !== '')
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null')
  } catch {
    return undefined
  }
}

function readObject(text: string): Record<string, unknown> | 'other' | undefined {
  const value = parsed(text === '' ? '!' : text)
  return value === undefined ? undefined : isObject(value) ? value : 'other'
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * A safetensors file's length by its header: 8 bytes with the length of a JSON text, the text, then the
 * tensors at the places in the text (https://github.com/huggingface/safetensors, "Format"). `read` returns
 * fewer bytes at the end of the file. 0 if it is no model but a placeholder. Undefined without such a header.
 */
export async function lengthByHeader(
  read: (from: number, bytes: number) => Promise<Buffer>,
): Promise<number | undefined> {
  const size = await read(0, 8)
  if (new RegExp(placeholder).test(size.toString('latin1'))) return 0
  const bytes = size.length < 8 ? 0 : Number(size.readBigUInt64LE())
  if (bytes < 2 || bytes > mostHeader) return undefined
  const header = (await read(8, bytes)).toString('latin1')
  if (!header.startsWith('{')) return undefined
  const places = header.matchAll(/"data_offsets"\s*:\s*\[\s*\d+\s*,\s*(\d+)/g)
  return 8 + bytes + [...places].reduce((most, [, end]) => Math.max(most, Number(end)), 0)
}

/** Nothing, space reserved for a download, a Git LFS pointer, a web page. For both languages. */
const placeholder = '^(?:\\0{8}|version |<|(?![\\s\\S]))'

/** The format's own library refuses larger headers. */
const mostHeader = 100_000_000

/** The same in Perl for hosts: reads standard input, prints the length or nothing. A test compares both. */
export const printLength = `
  read STDIN, my $size, 8;
  if ($size =~ /${placeholder}/) { print 0; exit }
  exit if length $size < 8;
  my $bytes = unpack "Q<", $size;
  exit if $bytes < 2 || $bytes > ${mostHeader};
  read STDIN, my $header, $bytes;
  exit if $header !~ /^\\{/;
  my $end = 0;
  while ($header =~ /"data_offsets"\\s*:\\s*\\[\\s*\\d+\\s*,\\s*(\\d+)/g) { $end = $1 if $1 > $end }
  print 8 + $bytes + $end;
`
