import path from 'node:path'
import { enginesOf } from '../../capture/image.ts'
import { type Finding, ok, warning, wrong } from '../../cli/finding.ts'
import { commandSeconds, type Host } from '../../hosts/host.ts'
import type { Checks, Context, Findings } from '../context.ts'

/** The oldest Node that the dependencies support: `engines` in package.json. */
const leastNode = [20, 19] as const

export const tools: Checks = ({ on, settings }) => [
  {
    name: 'here',
    what: 'node 20.19, bash 5, GNU tar 1.30, find, sha256sum, a compressor, flock; where needed ssh, git, a container engine',
    check: checkHere,
  },
  ...(on === 'mello' && settings.verdaSsh !== 'local'
    ? [
        {
          name: 'verda',
          what: 'the tools of a capture on Verda: bash, tar, find, sha256sum, a compressor, a container engine',
          uses: ['VERDA_SSH', 'VERDA_ROOT'],
          check: checkVerda,
        },
      ]
    : []),
  {
    name: 'runtime',
    what: "that the toolkit's bin/node on Verda would run on a bare instance",
    uses: ['VERDA_SSH', 'VERDA_ROOT', 'TOOLKIT_DIR'],
    check: checkRuntime,
  },
]

interface Tool {
  path: string
  /** The first line of its `--version` output. */
  said: string
}

type Tools = ReadonlyMap<string, Tool>

/** A tool, the package that provides it, and what fails without it. */
interface Need {
  name: string
  from: string
  without: string
  /** Must match its version line, if other tools have the same name. */
  is?: RegExp
  least?: readonly [number, number]
}

const unpacked = 'nothing can be packed'

/** What every host needs to pack and check archives. */
const forCapture: readonly Need[] = [
  { name: 'bash', from: 'bash', without: unpacked, is: /GNU bash/, least: [5, 0] },
  { name: 'tar', from: 'tar', without: unpacked, is: /GNU tar/, least: [1, 30] },
  { name: 'find', from: 'findutils', without: unpacked, is: /GNU findutils/, least: [4, 0] },
  { name: 'sha256sum', from: 'coreutils', without: 'no record can be checked' },
  { name: 'perl', from: 'perl-base', without: 'models, credentials and open databases cannot be read' },
]

/** In the same order as lib/capture/compressor.ts. */
const compressors = ['igzip', 'pigz', 'gzip']

/** Every capture script needs these, and every Debian and Ubuntu has them. */
const usual = ['awk', 'sed', 'stat', 'mktemp', 'flock', 'mountpoint', 'tee', 'grep', 'od']

async function checkHere({ here, on, settings }: Context): Promise<Findings> {
  const engines = enginesOf(settings.containerEngine)
  const needs = [
    { name: 'flock', from: 'util-linux', without: 'no run can lock its items' },
    ...(on === 'mello' && settings.verdaSsh !== 'local'
      ? [{ name: 'ssh', from: 'openssh-client', without: 'Verda is unreachable' }]
      : []),
    ...(on === 'mello' && settings.repositories.credentials !== undefined
      ? [{ name: 'git', from: 'git', without: "the users' credentials cannot be pushed" }]
      : []),
  ]
  const tools = await findTools(here, [...needs.map(({ name }) => name), ...engines])
  const { node } = process.versions
  return [
    isAtLeast(node, leastNode)
      ? ok(node, 'node')
      : wrong(`${node} is too old`, `install ${leastNode.join('.')} or newer`, 'node'),
    ...judgeCapture(tools),
    ...needs.map((need) => judge(need, tools)),
    ...(on === 'verda' ? [judgeEngine(tools, engines)] : []),
  ]
}

async function checkVerda({ host, settings }: Context): Promise<Findings> {
  const engines = enginesOf(settings.containerEngine)
  const tools = await findTools(await host('verda'), engines)
  const findings = [...judgeCapture(tools), judgeEngine(tools, engines)]
  return findings.map((finding) => ({ ...finding, name: `verda ${finding.name}` }))
}

async function findTools(host: Host, more: readonly string[]): Promise<Tools> {
  const names = [...forCapture.map(({ name }) => name), ...compressors, ...usual, ...more]
  const { stdout } = await host.run(script, names, { timeout: commandSeconds })
  const lines = stdout.toString().split('\n')
  const rows = lines.filter(Boolean).map((line) => line.split('\t'))
  return new Map(rows.map(([name = '', path = '', said = '']) => [name, { path, said }]))
}

const script = `
for tool in "$@"; do
  path=$(command -v -- "$tool") || continue
  case \${tool##*/} in
    ssh) said=$("$path" -V 2>&1) ;;
    *) said=$("$path" --version 2>&1) ;;
  esac
  printf '%s\\t%s\\t%s\\n' "$tool" "$path" "\${said%%$'\\n'*}"
done
`

export function judgeCapture(tools: Tools): Finding[] {
  const lacking = usual.filter((name) => !tools.has(name))
  return [
    ...forCapture.map((need) => judge(need, tools)),
    judgeCompressor(tools),
    lacking.length === 0
      ? ok(`found ${usual.join(', ')}`, 'others')
      : wrong(
          `${lacking.join(', ')} not found`,
          'apt-get install coreutils grep mawk sed util-linux',
          'others',
        ),
  ]
}

function judge({ name, from, without, is, least }: Need, tools: Tools): Finding {
  const { path, said } = tools.get(name) ?? {}
  const install = `apt-get install ${from}`
  if (path === undefined || said === undefined) return wrong(`is missing: ${without}`, install, name)
  if (is !== undefined && !is.test(said)) return wrong(`${path} is not ${is.source} (${said})`, install, name)
  const [version = '0.0'] = /\d+\.\d+(?:\.\d+)*/.exec(said) ?? []
  if (least === undefined || isAtLeast(version, least)) return ok(said || path, name)
  return wrong(`${said} is too old`, `install ${least.join('.')} or newer`, name)
}

function judgeCompressor(tools: Tools): Finding {
  const used = compressors.find((name) => tools.has(name))
  if (used === undefined) return wrong(`is missing: ${unpacked}`, 'apt-get install isal', 'compressor')
  const better = used === 'igzip' ? '' : '; igzip (apt-get install isal) is several times as fast'
  return ok(`${used} is used${better}`, 'compressor')
}

function judgeEngine(tools: Tools, engines: readonly string[]): Finding {
  const used = engines.find((name) => tools.has(name))
  if (used !== undefined) return ok(`${tools.get(used)?.path} is used`, 'container engine')
  return wrong(
    `${engines.join(' and ')} not found on verda: images cannot be saved`,
    'install docker, or set CONTAINER_ENGINE to the engine that the workshop runs in',
    'container engine',
  )
}

/** Compares two versions by their first two numbers. */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}

/** The Node runtime that is backed up with the toolkit: a restore on a bare instance has no other. */
async function checkRuntime({ host, settings }: Context): Promise<Findings> {
  const verda = await host('verda')
  const folder = path.join(verda.root, settings.toolkitDir)
  const { stdout, exitCodes } = await verda.run(runtimeScript, [folder], { timeout: commandSeconds })
  if (exitCodes.includes(exitNoToolkit))
    return warning(
      `there is no toolkit in ${folder}: a restore would have to start with git and npm`,
      'see docs/setup.md, "Verda"',
    )
  if (exitCodes.includes(exitNoRuntime))
    return wrong(
      `${folder}/bin/node is missing: the toolkit's archive would not run on a new instance`,
      anew(folder),
    )
  if (exitCodes.includes(exitNotItself))
    return wrong(`${folder}/bin/node is not a program but a script or a link`, anew(folder))
  return judgeRuntime(folder, stdout.toString())
}

const anew = (folder: string) =>
  `get Node from nodejs.org or NodeSource, then: install -D <that node> ${folder}/bin/node`

/** `said`: the runtime's version, then the libraries that it links to. Pure. */
export function judgeRuntime(folder: string, said: string): Finding {
  const [version = '', ...libraries] = said.trim().split('\n')
  const wants = (found: string) => wrong(`${folder}/bin/node ${found}`, anew(folder))
  if (!/^v\d+\.\d+/.test(version)) return wants('does not run')
  if (!isAtLeast(version.slice(1), leastNode)) return wants(`is ${version}, which is too old`)
  const others = libraries.filter((library) => library !== '' && !bare.test(library))
  if (others.length > 0) return wants(`needs ${others.join(', ')}, which a bare instance does not have`)
  if (libraries.length === 0)
    return warning(`${folder}/bin/node is ${version}; ldd does not say what it needs`, anew(folder))
  return ok(`${folder}/bin/node is ${version} and needs no library that a bare instance lacks`)
}

/** What even the smallest Debian and Ubuntu have. */
const bare =
  /^(?:linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libatomic)(?=[.-])/

const exitNoToolkit = 40
const exitNoRuntime = 41
const exitNotItself = 42

/** Argument: the toolkit's folder. Prints the runtime's version, then the libraries that it links to. */
const runtimeScript = `
[[ -e $1/package.json ]] || exit ${exitNoToolkit}
node=$1/bin/node
[[ -e $node ]] || exit ${exitNoRuntime}
[[ ! -L $node && $(head -c 4 -- "$node" | tr -d '\\0') == $'\\x7fELF' ]] || exit ${exitNotItself}
"$node" --version
ldd -- "$node" 2>/dev/null | sed 's/^[[:space:]]*//; s/ .*//; s,.*/,,'
`
