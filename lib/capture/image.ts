import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type ImageTexts, judgeImage, type Warning } from '../acceptance.ts'
import type { Host, Outcome } from '../hosts/host.ts'
import { errorLines } from '../hosts/lines.ts'
import { bash, start } from '../hosts/process.ts'
import { isLibraryImage } from '../settings/settings.ts'
import {
  type Capture,
  CaptureError,
  complaint,
  listener,
  progressListener,
  type Stream,
  tellProgress,
} from './capture.ts'
import { chooseCompressor, chooseDecompressor } from './compressor.ts'

/**
 * A container image as compressed `docker save`, under one of its tags, so that it comes back with a name.
 * `reference` defaults to the image of the running container `name`, then to `<name>:latest`. `engine`
 * defaults to docker, then podman.
 */
export function imageCapture(host: Host, name: string, reference?: string, engine?: string): Capture {
  let saved = ''
  const inspect = () => host.run(inspectScript, [engine ?? '', reference ?? '', name])
  const whyHanging = ({ exitCodes }: Outcome) =>
    exitCodes.some((code) => code === 124 || code === 137)
      ? new CaptureError(
          `${engine ?? 'the container engine'} on ${host.name} hangs: it said nothing about ${name} within ${inspectSeconds} s. See there: systemctl status docker; then restart it`,
        )
      : undefined
  return {
    async survey() {
      const outcome = await inspect()
      const { stdout, stderr, exitCodes } = outcome
      const hanging = whyHanging(outcome)
      if (hanging !== undefined) throw hanging
      const [resolved = '', id = '', tagLine = '', size = '0'] = stdout.toString().trimEnd().split('\n')
      if (exitCodes.includes(exitNoEngine)) {
        throw new CaptureError(
          `${host.name} has neither docker nor podman${engine ? ` (CONTAINER_ENGINE is ${engine})` : ''}`,
        )
      }
      const tags = tagLine.split(' ').filter((tag) => tag !== '')
      const [first] = tags
      const named = isId(resolved) ? first : resolved
      if (named !== undefined && isLibraryImage(named)) {
        throw new CaptureError(
          `${name} is ${resolved} on ${host.name}, a public image that holds nothing of this project: name the right one in CONTAINER_IMAGES`,
        )
      }
      if (exitCodes.some((code) => code !== 0) || id === '') {
        throw new CaptureError(
          /no such|not known|not found/i.test(stderr)
            ? `there is no image ${resolved} on ${host.name}: build or load it, or name the right one in CONTAINER_IMAGES`
            : `image ${resolved} cannot be inspected on ${host.name}: ${complaint({ stderr, exitCodes })}`,
        )
      }
      if (first === undefined) {
        throw new CaptureError(
          `image ${resolved} on ${host.name} has no tag, and would come back without a name. ` +
            `Give it one there: ${engine ?? 'docker'} tag ${id} ${name}:latest, and set CONTAINER_IMAGES to ${name}=${name}:latest`,
        )
      }
      saved = resolved
      const warnings: Warning[] = []
      if (isId(resolved) || resolved.includes('@')) {
        saved = tags.find((tag) => tag.replace(/:[^/:]*$/, '') === resolved.split('@')[0]) ?? first
        warnings.push({ kind: 'named by digest', path: resolved, tags })
      }
      return { state: 'there', fingerprint: `${id} ${tags.join(' ')}`, bytes: Number(size), warnings }
    },
    open: (_, options) =>
      save(host, name, [engine ?? '', saved, name], async () => whyHanging(await inspect()), options?.onRead),
  }
}

function isId(reference: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{12,64}$/.test(reference)
}

function save(
  host: Host,
  name: string,
  args: string[],
  whySilent: () => Promise<CaptureError | undefined>,
  onRead?: (bytes: number) => void,
): Stream {
  const listing = imageListing(listener(name, host.name), onRead)
  const judge = ({ exitCodes, stderr }: Outcome): void => {
    if (exitCodes.some((code) => code !== 0))
      throw new CaptureError(
        `${name} could not be saved on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    const { flaw } = listing.judge({ exitCodes, stderr })
    if (flaw !== undefined) throw new CaptureError(`${name} on ${host.name}: ${flaw}`)
  }
  return {
    body: host.stream(saveScript, args, judge, { onLine: listing.onLine, whySilent }),
    changed: [],
    warnings: [],
  }
}

/** Parses listImage's output and judges the archive at its end. `kept` sees each kept line and may throw. */
export function imageListing(kept: (line: string) => string, onRead = (_bytes: number) => {}) {
  const isProgress = progressListener(onRead)
  const members = new Set<string>()
  const texts: Record<string, string> = {}
  let listed = false
  return {
    onLine(line: string): boolean {
      const [word, ...rest] = line.split(' ')
      if (word === 'member') members.add(kept(rest.join(' ')))
      else if (word === 'text')
        texts[rest[0] as string] = (texts[rest[0] as string] ?? '') + kept(rest[1] ?? '')
      else if (line === 'listed') listed = true
      else return isProgress(line)
      return true
    },
    judge(outcome: Outcome): { tags: string[]; flaw?: string } {
      if (!listed)
        return { tags: [], flaw: `the saved image is not a complete archive: ${complaint(outcome)}` }
      const decoded: ImageTexts = Object.fromEntries(
        Object.entries(texts).map(([name, text]) => [name, Buffer.from(text, 'base64').toString()]),
      )
      return judgeImage(decoded, members)
    },
  }
}

/** Judges a compressed image archive on this machine as a capture would. Rethrows errors of `body`. */
export async function judgeImageArchive(body: Readable): Promise<{ tags: string[]; flaw?: string }> {
  const listing = imageListing((line) => line)
  const said = errorLines(listing.onLine)
  const child = await start(bash(judgeScript), { ignore: ['stdout'] })
  child.stderr.on('data', (chunk) => said.push(chunk))
  await pipeline(body, child.stdin).catch(() => child.stdin.destroy())
  const { code = 128 } = await child.ended
  if (body.errored) throw body.errored
  const outcome = { exitCodes: [code], stderr: said.finish() }
  if (code === 0) return listing.judge(outcome)
  return { tags: [], flaw: `it cannot be unpacked: ${complaint(outcome)}` }
}

const exitNoEngine = 41

/** Container engines in order of preference. `configured`: CONTAINER_ENGINE. */
export function enginesOf(configured?: string): string[] {
  return configured ? [configured] : ['docker', 'podman']
}

/** Arguments: the engine or nothing, the image reference or nothing, the item's name. */
const chooseEngine = `
engine=$1
[[ -n $engine ]] || for engine in ${enginesOf().join(' ')} ''; do
  [[ -n $engine ]] || exit ${exitNoEngine}
  command -v "$engine" >/dev/null && break
done
command -v "$engine" >/dev/null || exit ${exitNoEngine}
`

/** Metadata comes at once from an engine that works. */
const inspectSeconds = 60

/** Prints the reference, the image's id, its tags and its size in bytes, one per line. */
const inspectScript = `
${chooseEngine}
reference=$2
ask() { timeout --kill-after 5 ${inspectSeconds} "$engine" "$@"; }
[[ -n $reference ]] || reference=$(ask container inspect --format '{{.Config.Image}}' "$3" 2>/dev/null) || reference=$3:latest
echo "$reference"
ask image inspect --format '{{.Id}}{{println}}{{range .RepoTags}}{{.}} {{end}}{{println}}{{.Size}}' "$reference"
`

/**
 * Bash: `list_image` passes an image archive through and describes it on standard error for imageListing:
 * "member PATH", "text NAME BASE64" for its index files, "listed" at the end. sed -u writes whole lines of up
 * to PIPE_BUF (4096 bytes), so they do not mix.
 */
export const listImage = `
list_image() {
  tee >(tar ${tellProgress} -tf - 2> >(sed -u '' >&2) | sed -u 's/^/member /' >&2 && echo listed >&2) \\
    >(tar -xf - --to-command='base64 -w 3000 | sed -u "s/^/text $TAR_FILENAME /" >&3' manifest.json index.json 3>&2 >/dev/null 2>&1)
}
`

const saveScript = `
${chooseEngine}
${chooseCompressor}
${listImage}
"$engine" save "$2" | list_image | "\${compressor[@]}"
`

const judgeScript = `
${chooseDecompressor}
${listImage}
"\${decompressor[@]}" | list_image >/dev/null
`
