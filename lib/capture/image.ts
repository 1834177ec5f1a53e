import type { Host, Outcome } from '../hosts/host.ts'
import { isLibraryImage } from '../settings.ts'
import { type Capture, CaptureError, type Stream } from './capture.ts'
import { complaint } from './complaint.ts'
import { chooseCompressor } from './compressor.ts'
import { listener } from './heard.ts'

/**
 * A container image as `docker save` writes it, compressed.
 *
 * `reference` absent: the one that the running container of that name uses, else `<name>:latest`. `engine` absent:
 * docker, else podman.
 */
export function imageCapture(host: Host, name: string, reference?: string, engine?: string): Capture {
  let bytes = 0
  let found = ''
  const args = () => [engine ?? '', found || reference || '', name]
  return {
    async survey() {
      const { stdout, stderr, exitCodes } = await host.run(inspectScript, args())
      const [resolved = '', id = '', tags = '', size = '0'] = stdout.toString().trimEnd().split('\n')
      if (exitCodes.includes(exitNoEngine)) {
        throw new CaptureError(
          `${host.name} has neither docker nor podman${engine ? ` (CONTAINER_ENGINE is ${engine})` : ''}`,
        )
      }
      if (isLibraryImage(resolved)) {
        throw new CaptureError(
          `${name} is ${resolved} on ${host.name}, a public image that holds nothing of this project: name the right one in CONTAINER_IMAGES`,
        )
      }
      if (exitCodes.some((code) => code !== 0) || id === '') {
        throw new CaptureError(
          /no such|not known|not found/i.test(stderr)
            ? `there is no image ${resolved} on ${host.name}: build or load it, or name the right one in CONTAINER_IMAGES`
            : `image ${resolved} cannot be asked for on ${host.name}: ${complaint({ stderr, exitCodes })}`,
        )
      }
      found = resolved
      bytes = Number(size)
      return { state: 'there', fingerprint: `${id} ${tags}`, bytes }
    },
    open: () => save(host, name, args()),
  }
}

function save(host: Host, name: string, args: string[]): Stream {
  const members = new Set<string>()
  const needed = new Set<string>()
  const kept = listener(name, host.name)
  let listed = false
  const onLine = (line: string): boolean => {
    if (line.startsWith('member ')) members.add(kept(line.slice(7)))
    else if (line.startsWith('needs ')) needed.add(kept(line.slice(6)))
    else if (line === 'listed') listed = true
    else return false
    return true
  }
  const judge = ({ exitCodes, stderr }: Outcome): void => {
    if (exitCodes.some((code) => code !== 0))
      throw new CaptureError(
        `${name} could not be saved on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    if (!listed)
      throw new CaptureError(
        `${name} on ${host.name}: what was saved is no whole archive: ${complaint({ stderr, exitCodes })}`,
      )
    const missing = [...needed].filter((path) => !members.has(path))
    if (needed.size === 0 || missing.length > 0) {
      throw new CaptureError(
        `${name} on ${host.name}: the saved image is incomplete: ${needed.size === 0 ? 'it has no manifest' : `${missing.length} of ${needed.size} parts are missing`}`,
      )
    }
  }
  return { body: host.stream(saveScript, args, judge, { onLine }), changed: [], warnings: [] }
}

const exitNoEngine = 41

/** Arguments: the engine or nothing, the image reference or nothing, the item's name. */
const chooseEngine = `
engine=$1
[[ -n $engine ]] || for engine in docker podman ''; do
  [[ -n $engine ]] || exit ${exitNoEngine}
  command -v "$engine" >/dev/null && break
done
command -v "$engine" >/dev/null || exit ${exitNoEngine}
`

/** Prints the reference, the image's id, its tags and its size in bytes, a line each. */
const inspectScript = `
${chooseEngine}
reference=$2
[[ -n $reference ]] || reference=$("$engine" container inspect --format '{{.Config.Image}}' "$3" 2>/dev/null) || reference=$3:latest
echo "$reference"
"$engine" image inspect --format '{{.Id}}{{println}}{{join .RepoTags " "}}{{println}}{{.Size}}' "$reference"
`

/**
 * The compressed image on standard output. On standard error "member PATH" for what the archive holds and
 * "needs PATH" for the configuration and the layers that its manifest names; "listed" when it could be listed to its end.
 * With -u, sed writes whole lines, where tar writes its messages piece by piece: those of the two do not run into each other.
 */
const saveScript = `
${chooseEngine}
${chooseCompressor}
"$engine" save "$2" |
  tee >(tar -tf - 2> >(sed -u '' >&2) | sed -u 's/^/member /' >&2 && echo listed >&2) \\
    >(tar -xOf - manifest.json 2> >(sed -u '' >&2) | tr -d '\\n' | grep -oE '"(Config|Layers)" *: *("[^"]*"|\\[[^]]*\\])' | grep -oE '"[^"]*[./][^"]*"' | sed -u 's/^"/needs /; s/"$//' >&2) |
  "\${compressor[@]}"
`
