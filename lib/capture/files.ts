import type { Host, Outcome } from '../hosts/host.ts'
import type { Source } from '../inventory.ts'
import { type Capture, CaptureError, ChangedWhileRead, type Stream, type Survey } from './capture.ts'
import { complaint } from './complaint.ts'
import { exitNoRoot, memberMark, packScript, surveyScript } from './files-scripts.ts'
import { listener } from './heard.ts'
import { matcher } from './pattern.ts'
import { sqliteSharedMemory } from './sqlite.ts'

/** Files and folders of a host as one tar archive, with paths relative to its root. */
export function filesCapture(host: Host, sources: readonly Source[]): Capture {
  return {
    survey: () => survey(host, sources),
    open: (acceptChanges) => pack(host, sources, acceptChanges),
  }
}

async function survey(host: Host, sources: readonly Source[]): Promise<Survey> {
  const named = sources.map(describe).join(', ')
  let total: number[] = []
  const { stdout, stderr, exitCodes } = await host.run(surveyScript, scriptArguments(host, sources), {
    onLine: (line) => {
      if (!line.startsWith('total ')) return false
      total = line.split(' ').slice(1).map(Number)
      return true
    },
  })
  if (exitCodes.includes(exitNoRoot)) throw new CaptureError(`there is no ${host.root} on ${host.name}`)
  const { found, fingerprint } = readSurvey(stdout.toString())
  const missing = sources.filter((source, index) => source.required && !found[index])
  if (missing.length > 0) {
    throw new CaptureError(
      `${missing.map(describe).join(', ')} missing on ${host.name}: nothing there to back up`,
    )
  }
  if (found.length > 0 && found.every((count) => count === 0)) {
    return { state: 'absent', reason: `${named}: not on ${host.name}, and optional` }
  }
  const [files, bytes = 0, newest = 0, asked = 0] = total
  const listed = exitCodes.every((code) => code === 0) || onlyVanished(stderr)
  if (!listed || fingerprint === undefined || files === undefined) {
    throw new CaptureError(
      `${named} cannot be listed whole on ${host.name}: ${complaint({ stderr, exitCodes })}`,
    )
  }
  if (files === 0)
    throw new CaptureError(`${named} on ${host.name}: no file with content; an empty archive is no backup`)
  const racy = asked - newest < clockTickSeconds
  return { state: 'there', fingerprint: racy ? `${fingerprint}-${asked}` : fingerprint, bytes }
}

/**
 * File times move in ticks of the kernel's clock. A file changed within the last tick may change once more without its times
 * telling, so a survey taken then equals no other.
 */
const clockTickSeconds = 0.02

/** What goes away while it is listed is no longer there to be backed up. */
function onlyVanished(stderr: string): boolean {
  const lines = stderr.trimEnd().split('\n')
  return lines.every((line) => /^find: .*: No such file or directory$/.test(line))
}

function readSurvey(stdout: string): { found: number[]; fingerprint: string | undefined } {
  const lines = stdout.split('\n')
  return {
    found: lines.filter((line) => line.startsWith('source ')).map((line) => Number(line.split(' ')[2])),
    fingerprint: /^fingerprint ([0-9a-f]{64})/m.exec(stdout)?.[1],
  }
}

function pack(host: Host, sources: readonly Source[], acceptChanges: boolean): Stream {
  const named = sources.map(describe).join(', ')
  const changed: string[] = []
  const warnings: string[] = []
  const mustHave = sources.flatMap((source) => source.mustHave ?? [])
  const lacking = new Map(mustHave.map((pattern) => [pattern, matcher(pattern)]))
  const kept = listener(named, host.name)
  let members = 0

  function onLine(line: string): boolean {
    if (line.startsWith(memberMark)) {
      members++
      for (const [pattern, test] of lacking)
        if (test.test(line.slice(memberMark.length))) lacking.delete(pattern)
      return true
    }
    const change = changedWhileRead.exec(line)
    if (change) changed.push(kept(change[1] ?? ''))
    const mount = otherFileSystem.exec(line)
    if (mount) warnings.push(`${kept(mount[1] ?? '')} lies on another file system and is left out`)
    return change !== null || mount !== null || line.endsWith(': socket ignored')
  }

  function judge({ exitCodes, stderr }: Outcome): void {
    const [tar = -1, compressor = -1] = exitCodes
    if (compressor !== 0 || tar > 1 || tar < 0 || (tar === 1 && changed.length === 0)) {
      throw new CaptureError(
        `${named} could not be read whole on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    }
    if (members === 0) throw new CaptureError(`${named} on ${host.name}: tar packed nothing`)
    if (lacking.size > 0) {
      throw new CaptureError(
        `${named} on ${host.name}: the archive has no ${[...lacking.keys()].join(' and no ')}; without it, it is no backup`,
      )
    }
    if (changed.length > 0 && !acceptChanges) throw new ChangedWhileRead(changed)
  }

  return {
    body: host.stream(packScript, scriptArguments(host, sources), judge, { onLine }),
    changed,
    warnings,
  }
}

const changedWhileRead =
  /^tar: (.*): (?:file changed as we read it|File removed before we read it|File shrank by \d+ bytes; padding with zeros)$/
const otherFileSystem = /^tar: (.*): file is on a different filesystem; not dumped$/

function scriptArguments(host: Host, sources: readonly Source[]): string[] {
  const relative = (pattern: string) => pattern.replace(/^\/+/, '')
  return [
    host.root,
    String(sources.length),
    ...sources.flatMap((source) => [relative(source.path), source.match ?? '']),
    ...sources.flatMap((source) => source.exclude ?? []).map(relative),
    ...sqliteSharedMemory,
  ]
}

function describe(source: Source): string {
  return source.match === undefined ? source.path : `${source.path}/${source.match}`
}
