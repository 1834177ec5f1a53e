import path from 'node:path'
import { text } from 'node:stream/consumers'
import {
  type FoundSource,
  isAbsent,
  isUnread,
  keystonesOf,
  mustHaveOf,
  sourceName,
  type Warning,
  warningText,
  whatIsUnreadable,
  whyNoBackup,
  whyWorthless,
  whyWorthlessText,
} from '../acceptance.ts'
import type { Host, Outcome } from '../hosts/host.ts'
import type { Source } from '../inventory.ts'
import {
  type Capture,
  CaptureError,
  ChangedWhileRead,
  complaint,
  type Listing,
  listener,
  matcher,
  type OpenOptions,
  progressListener,
  type Stream,
  type Survey,
} from './capture.ts'
import { memberPath, readListing } from './listing.ts'
import { whyHanging } from './mounts.ts'
import {
  clockTickSeconds,
  digestMark,
  digestScript,
  exitNoFolder,
  exitNoPerl,
  exitNoRoot,
  exitSwapped,
  keystoneScript,
  memberMark,
  packScript,
  pathsScript,
  surveyMark,
  surveyScript,
} from './scripts.ts'
import { sqliteSharedMemory, tornMark } from './sqlite.ts'

/** Files and folders of a host as one tar archive, with paths relative to its root. */
export function filesCapture(host: Host, sources: readonly Source[]): Capture {
  // The archive must not lack more than the survey saw, because the fingerprint covers that.
  let known: ReadonlySet<string> = new Set()
  return {
    async survey() {
      const found = await survey(host, sources)
      if (found.state === 'there') known = new Set(found.warnings.filter(isUnread).map(({ path }) => path))
      return found
    },
    open: (acceptChanges, options) => pack(host, sources, packScript, acceptChanges, known, options),
    list: () => list(host, sources),
    async digest() {
      return (await text(pack(host, sources, digestScript, false, known).body)).slice(0, 64)
    },
  }
}

async function survey(host: Host, sources: readonly Source[]): Promise<Survey> {
  const named = sources.map(sourceName).join(', ')
  const kept = listener(named, host.name)
  const said: string[] = []
  const { stdout, stderr, exitCodes } = await host.run(surveyScript, scriptArguments(host, sources), {
    onLine: (line) => line.startsWith(surveyMark) && said.push(kept(line.slice(surveyMark.length))) > 0,
    whySilent: whySilent(host, sources),
  })
  checkBegun(named, host, exitCodes)
  const { found, lacking, racy, content, warnings } = readSurvey(sources, said)
  if (found.length < sources.length) throw notListed(named, host, { stderr, exitCodes })
  const unread = whatIsUnreadable(warnings)
  const flaw = whyNoBackup(sources, found, host.name)
  if (flaw !== undefined) throw new CaptureError([flaw, ...unread].join('; '))
  if (isAbsent(sources, found)) {
    if (unread.length > 0) throw new CaptureError(`on ${host.name}: ${unread.join('; ')}`)
    const what = found.every(({ is }) => is === 'missing') ? 'not' : 'nothing in it'
    return { state: 'absent', reason: `${named}: ${what} on ${host.name}, and optional` }
  }
  const fingerprint = /^fingerprint ([0-9a-f]{64})/.exec(stdout.toString())?.[1]
  const listed = exitCodes.every((code) => code === 0) || onlyVanished(stderr)
  if (!listed || fingerprint === undefined) throw notListed(named, host, { stderr, exitCodes })
  const worthless = whyWorthless({ lacking }) ?? (await whyKeystones(host, sources))
  if (worthless !== undefined) throw new CaptureError(`${named} on ${host.name}: ${worthless}`)
  return {
    state: 'there',
    fingerprint: racy === undefined ? fingerprint : `${fingerprint}-${racy}`,
    content,
    bytes: found.reduce((sum, { bytes }) => sum + bytes, 0),
    sources: found.flatMap(({ is, source, files, bytes }) =>
      is === 'hangs' ? [] : { source, files, bytes },
    ),
    warnings,
  }
}

/** Files that vanish during the listing need no backup. */
function onlyVanished(stderr: string): boolean {
  const lines = stderr.trimEnd().split('\n')
  return lines.every((line) => /^find: .*: No such file or directory$/.test(line))
}

/** Parses the script's marked lines: a word and its arguments. */
function readSurvey(sources: readonly Source[], said: readonly string[]) {
  const found: FoundSource[] = []
  const warnings: Warning[] = []
  const lacking: string[] = []
  let racy: string | undefined
  let content: string | undefined
  for (const line of said) {
    const [word = '', first = '', ...more] = line.split(' ')
    const source = found[Number(first)] as FoundSource
    if (word === 'is')
      found.push({
        source: sourceName(sources[Number(first)] as Source),
        is: more[0] as FoundSource['is'],
        files: 0,
        bytes: 0,
      })
    else if (word === 'holds') [source.files, source.bytes] = more.map(Number) as [number, number]
    else if (word === 'lacks') lacking.push(line.slice('lacks '.length))
    else if (word === 'racy') racy = first
    else if (word === 'content') content = first
    else if (word === 'future') warnings.push({ kind: 'future time', path: source.source })
    else if (word === 'left') warnings.push(leftOut(line))
  }
  for (const { is, source } of found) {
    if (is === 'link') warnings.push({ kind: 'source is a link', path: source })
    if (is === 'hangs') warnings.push({ kind: 'hangs', path: source })
  }
  return { found, lacking, racy, content, warnings }
}

/** `left KIND PATH`, where KIND has a dash for each space. */
function leftOut(line: string): Warning {
  const [, kind = '', ...path] = line.split(' ')
  return { kind: kind.replaceAll('-', ' ') as 'device', path: `/${path.join(' ')}` }
}

async function whyKeystones(host: Host, sources: readonly Source[]): Promise<string | undefined> {
  for (const keystone of keystonesOf(sources)) {
    const args = [host.root, path.dirname(relative(keystone.file)), path.basename(keystone.file)]
    const { stdout, exitCodes } = await host.run(keystoneScript, args, {
      whySilent: whyHanging(host, [keystone.file]),
    })
    if (exitCodes[0] === exitNoPerl) continue
    if (exitCodes[0] !== 0)
      return `its ${path.basename(keystone.file)} cannot be read as a plain file, so it would not come back`
    const flaw = whyWorthlessText(keystone, stdout.toString())
    if (flaw !== undefined) return flaw
  }
  return undefined
}

function pack(
  host: Host,
  sources: readonly Source[],
  script: string,
  acceptChanges: boolean,
  known: ReadonlySet<string>,
  { members: kept, chosen, onRead = () => {} }: OpenOptions = {},
): Stream {
  const named = sources.map(sourceName).join(', ')
  const changed: string[] = []
  const warnings: Warning[] = []
  const lacking = new Map(mustHaveOf(sources).map((pattern) => [pattern, matcher(pattern)]))
  const left: Warning[] = []
  const keep = listener(named, host.name)
  const isProgress = progressListener(onRead)
  const members = new Set<string>()
  let packed = 0

  function onLine(line: string): boolean {
    if (line.startsWith(memberMark)) {
      packed++
      if (kept) members.add(memberPath(line.slice(memberMark.length)))
      for (const [pattern, test] of lacking)
        if (test.test(line.slice(memberMark.length))) lacking.delete(pattern)
      return true
    }
    if (line.startsWith(digestMark)) {
      stream.tar = line.slice(digestMark.length).split(' ')[0] as string
      return true
    }
    if (line.startsWith(surveyMark)) {
      left.push(leftOut(keep(line.slice(surveyMark.length))))
      return true
    }
    if (line.startsWith(tornMark)) {
      warnings.push({ kind: 'torn database', path: `/${keep(line.slice(tornMark.length))}` })
      return true
    }
    const change = changedWhileRead.exec(line)
    if (change) changed.push(keep(change[1] ?? ''))
    const mount = otherFileSystem.exec(line)
    if (mount)
      warnings.push({ kind: 'other file system', path: `/${keep(mount[1] ?? '').replace(/\/$/, '')}` })
    return isProgress(line) || change !== null || mount !== null || line.endsWith(': socket ignored')
  }

  function judge({ exitCodes, stderr }: Outcome): void {
    const [tar = -1, ...others] = exitCodes
    checkBegun(named, host, exitCodes)
    // Before the exit codes: with nothing left to pack, tar complains about something else.
    const lost = left.find(({ path }) => !known.has(path))
    if (lost) throw new CaptureError(`${named} on ${host.name}: ${warningText(lost)}`)
    if (others.some((code) => code !== 0) || tar > 1 || tar < 0 || (tar === 1 && changed.length === 0)) {
      throw new CaptureError(
        `${named} could not be read completely on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    }
    // An increment may lack what earlier archives have. The survey judged the item already.
    if (packed === 0 && chosen === undefined)
      throw new CaptureError(`${named} on ${host.name}: tar packed nothing`)
    const flaw = chosen === undefined ? whyWorthless({ lacking: [...lacking.keys()] }) : undefined
    if (flaw !== undefined) throw new CaptureError(`${named} on ${host.name}: ${flaw}`)
    if (changed.length > 0 && !acceptChanges) throw new ChangedWhileRead(changed)
  }

  // The empty first path keeps the input from being empty, which would mean no input.
  const input = chosen && Buffer.from(['', ...chosen].map((file) => `${file}\0`).join(''), 'latin1')
  const body = host.stream(script, scriptArguments(host, sources), judge, {
    onLine,
    whySilent: whySilent(host, sources),
    input,
  })
  const stream: Stream = { body, changed, warnings, members: kept ? members : undefined }
  return stream
}

/** Every path of the sources, as the survey sees them. */
async function list(host: Host, sources: readonly Source[]): Promise<Listing | undefined> {
  const named = sources.map(sourceName).join(', ')
  const moments: number[] = []
  const body = host.stream(
    pathsScript,
    scriptArguments(host, sources),
    ({ exitCodes, stderr }) => {
      checkBegun(named, host, exitCodes)
      if (exitCodes.some((code) => code !== 0) && !onlyVanished(stderr))
        throw notListed(named, host, { stderr, exitCodes })
    },
    {
      onLine: (line) =>
        line.startsWith(surveyMark) && moments.push(Number(line.slice(surveyMark.length))) > 0,
      whySilent: whySilent(host, sources),
    },
  )
  return readListing(body, (time) => {
    const [began = 0, ended = 0] = moments
    return time > began - clockTickSeconds && time < ended + clockTickSeconds
  })
}

function notListed(named: string, host: Host, outcome: Outcome): CaptureError {
  return new CaptureError(`${named} cannot be listed completely on ${host.name}: ${complaint(outcome)}`)
}

/** Throws if the script could not begin, because then it says nothing about its sources. */
function checkBegun(named: string, host: Host, exitCodes: readonly number[]): void {
  if (exitCodes.includes(exitNoRoot)) throw new CaptureError(`there is no ${host.root} on ${host.name}`)
  if (exitCodes.includes(exitNoFolder))
    throw new CaptureError(
      `${named} on ${host.name}: no scratch folder can be made in /dev/shm, and none in /tmp. Free some space there`,
    )
  if (exitCodes.includes(exitSwapped))
    throw new CaptureError(
      `${named} on ${host.name}: a folder above it is a link that another user could change, or was replaced just now. Make it a folder, or mount it there (mount --bind)`,
    )
}

const changedWhileRead =
  /^tar: (.*): (?:file changed as we read it|File removed before we read it|File shrank by \d+ bytes; padding with zeros)$/
const otherFileSystem = /^tar: (.*): file is on a different filesystem; not dumped$/

function scriptArguments(host: Host, sources: readonly Source[]): string[] {
  const mustHave = mustHaveOf(sources)
  return [
    host.root,
    String(sources.length),
    ...sources.flatMap((source) => [relative(source.path), source.match ?? '']),
    String(mustHave.length),
    ...mustHave,
    ...sources.flatMap((source) => source.exclude ?? []).map(relative),
    ...sqliteSharedMemory,
  ]
}

function whySilent(host: Host, sources: readonly Source[]) {
  return whyHanging(
    host,
    sources.map(({ path, match }) => (match === undefined ? path : `${path}/`)),
    { follow: false },
  )
}

function relative(pattern: string): string {
  return pattern.replace(/^\/+/, '')
}
