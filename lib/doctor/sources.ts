import { imageCapture } from '../capture/image.ts'
import { listModels } from '../capture/models.ts'
import { bytesInWords } from '../cli/words.ts'
import { type HostName, restoringMarker, type Source } from '../inventory.ts'
import type { Job } from '../plan.ts'
import { modelSource } from '../store-item.ts'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'

/** One check an item, and one a host. */
export function sourceChecks(jobs: readonly Job[]): Check[] {
  const hosts = [...new Set(jobs.map(({ host }) => host))]
  return [...hosts.map(restoredCheck), ...jobs.map(itemCheck)]
}

function restoredCheck(name: HostName): Check {
  return {
    group: 'sources',
    name,
    what: `that no restore of ${name} is half done`,
    uses: usedFor(name),
    async check({ host }) {
      const marker = `${rootOf((await host(name)).root)}${restoringMarker}`
      const { exitCodes } = await (await host(name)).run('[[ ! -e $1 ]]', [marker], { timeout: 20 })
      if (exitCodes[0] === 0) return [ok('no restore is under way')]
      return [
        wrong(
          `is half restored (${marker} is there): no backup captures it`,
          'let `restore` finish, or run it again; if none is under way, remove that file',
        ),
      ]
    },
  }
}

function itemCheck(job: Job): Check {
  return {
    group: 'sources',
    name: job.item,
    what: `${job.title}, on ${job.host}`,
    uses: [...usedFor(job.host), 'PROJECT_DIR', 'MELLO_PROJECT_DIR', 'MODELS_DIR', 'TOOLKIT_DIR'],
    check(context) {
      switch (job.capture.kind) {
        case 'files':
          return checkFiles(context, job.host, job.capture.sources)
        case 'repository':
          return checkFiles(context, job.host, job.capture.sources)
        case 'image':
          return checkImage(context, job)
        case 'models':
          return checkModels(context, job, job.capture)
      }
    },
  }
}

function usedFor(host: HostName): string[] {
  return host === 'verda' ? ['VERDA_SSH', 'VERDA_ROOT'] : ['MELLO_ROOT']
}

async function checkFiles(context: Context, name: HostName, sources: readonly Source[]): Promise<Finding[]> {
  const host = await context.host(name)
  const seen: { source: Source; said: string }[] = []
  // One after another: a connection of ssh bears ten commands at once, and other items are looked at meanwhile.
  for (const source of sources) {
    const exclude = (source.exclude ?? []).map((pattern) => `!${pattern}`)
    const paths = [source.path, ...(source.mustHave ?? []), ...exclude]
    const args = [host.root, source.match ?? '', ...paths.map((text) => text.replace(/^(!?)\/+/, '$1'))]
    const { stdout } = await host.run(script, args, { timeout: 40 })
    seen.push({ source, said: stdout.toString().trimEnd() })
  }
  const bad = seen.filter(
    ({ source, said }) => !['there', 'missing'].includes(said) || (source.required && said === 'missing'),
  )
  if (bad.length > 0)
    return [
      wrong(
        bad.map(({ source, said }) => `${describe(source)} on ${name}: ${said}`).join('; '),
        `see ${name}; when it lies elsewhere, set PROJECT_DIR, MELLO_PROJECT_DIR or TOOLKIT_DIR`,
      ),
    ]
  const there = seen.filter(({ said }) => said === 'there').map(({ source }) => describe(source))
  if (there.length > 0) return [ok(`${there.join(', ')} on ${name}`)]
  return [ok(`${seen.map(({ source }) => describe(source)).join(', ')}: not on ${name}, and optional`)]
}

function describe(source: Source): string {
  return source.match === undefined ? source.path : `${source.path}/${source.match}`
}

/**
 * Arguments: the host's root; a name pattern or nothing; the path; then patterns of which each must match something
 * below it, and with a `!` before them those that are left out. Prints `there`, `missing` or what is wrong. Reads no content.
 */
const script = `
cd -- "$1" 2>/dev/null || { echo "there is no $1"; exit; }
match=$2 path=$3
shift 3
paths=()
if [[ -n $match ]]; then
  shopt -s nullglob
  IFS= paths=("$path"/$match)
  shopt -u nullglob
elif [[ -e $path || -L $path ]]; then paths=("$path"); fi
[[ \${#paths[@]} -gt 0 ]] || { echo missing; exit; }
prune=() must=()
for pattern in "$@"; do
  case $pattern in
    !*) prune+=(-o -path "\${pattern#!}") ;;
    *) must+=("$pattern") ;;
  esac
done
# What root may not read is not told by asking: a walk for nothing.
unreadable=
[[ $EUID -eq 0 ]] || unreadable=$(find "\${paths[@]}" -xdev \\( -false "\${prune[@]}" \\) -prune -o ! -type l ! -readable -print -quit 2>/dev/null)
[[ -z $unreadable ]] || { echo "/$unreadable cannot be read by $(id -un)"; exit; }
content=$(find "\${paths[@]}" -xdev \\( -false "\${prune[@]}" \\) -prune -o -type f -size +0 -print -quit 2>/dev/null)
[[ -n $content ]] || { echo 'no file with content'; exit; }
for pattern in "\${must[@]}"; do
  found=$(find "\${paths[@]}" -path "$pattern" -print -quit 2>/dev/null)
  [[ -n $found ]] || { echo "has no $pattern, without which it is no backup"; exit; }
done
echo there
`

async function checkImage({ host, settings }: Context, job: Job): Promise<Finding[]> {
  const { images, containerEngine } = settings
  const survey = await imageCapture(
    await host(job.host),
    job.item,
    images[job.item],
    containerEngine,
  ).survey()
  return [ok(survey.state === 'there' ? `on ${job.host}, ${bytesInWords(survey.bytes)}` : survey.reason)]
}

async function checkModels(
  { host, settings }: Context,
  job: Job,
  capture: Job['capture'] & { kind: 'models' },
): Promise<Finding[]> {
  const source = modelSource(job.host, capture, settings)
  const { models, broken, others } = await listModels(await host(job.host), source)
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0)
  const said = `${models.length} models, ${bytesInWords(bytes)}, in ${source.path} on ${job.host}`
  if (broken.length > 0)
    return [
      wrong(
        `${said}; links to nowhere, or names that no bucket can have: ${broken.join(', ')}`,
        'mend or remove them: they are not backed up',
      ),
    ]
  if (others.length > 0)
    return [
      warning(
        `${said}; no rule covers ${others.join(', ')}`,
        `only ${source.extension} files in ${source.folders.join(', ')} are backed up: move them, or add the folder to lib/inventory.ts`,
      ),
    ]
  return [ok(said)]
}

function rootOf(root: string): string {
  return root === '/' ? '' : root
}
