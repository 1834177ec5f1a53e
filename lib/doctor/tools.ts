import path from 'node:path'
import type { Host } from '../hosts/host.ts'
import { type Check, type Finding, ok, wrong } from './check.ts'
import type { Context } from './context.ts'

/** Node's version below which the dependencies do not run: `engines` of package.json. */
const leastNode = [20, 19] as const

export const toolChecks: readonly Check[] = [
  {
    group: 'tools',
    name: 'here',
    what: 'node 20.19, bash 5, GNU tar 1.30, find, sha256sum, a compressor, flock; where needed ssh, git, a container engine',
    check: checkHere,
  },
]

export const toolChecksOnVerda: readonly Check[] = [
  {
    group: 'tools',
    name: 'verda',
    what: 'the tools of a capture on Verda: bash, tar, find, sha256sum, a compressor, a container engine',
    uses: ['VERDA_SSH', 'VERDA_ROOT'],
    check: checkVerda,
  },
]

interface Tool {
  path: string
  /** The first line of what it says to `--version`. */
  said: string
}

type Tools = Map<string, Tool>

/** Without these no script of a capture runs; every Debian and Ubuntu has them. */
const usual = ['awk', 'sed', 'stat', 'mktemp', 'mountpoint', 'tee', 'grep', 'od']

async function checkHere({ here, on, settings }: Context): Promise<Finding[]> {
  const engines = enginesOf(settings.containerEngine)
  const tools = await findTools(here, ['flock', 'ssh', 'git', ...engines])
  const findings = [
    judgeNode(process.versions.node),
    ...judgeCapture(tools),
    there(tools, 'flock', 'util-linux', 'no run can take its locks'),
  ]
  if (on === 'mello' && settings.verdaSsh !== 'local')
    findings.push(there(tools, 'ssh', 'openssh-client', 'Verda cannot be reached'))
  if (on === 'mello' && settings.repositories.credentials !== undefined)
    findings.push(there(tools, 'git', 'git', "the users' credentials cannot be pushed"))
  if (on === 'verda') findings.push(judgeEngine(tools, engines, 'verda'))
  return findings
}

async function checkVerda({ host, settings }: Context): Promise<Finding[]> {
  const engines = enginesOf(settings.containerEngine)
  const tools = await findTools(await host('verda'), engines)
  const findings = [...judgeCapture(tools), judgeEngine(tools, engines, 'verda')]
  return findings.map((finding) => ({ ...finding, name: `verda ${finding.name}` }))
}

function enginesOf(engine: string | undefined): string[] {
  return engine === undefined ? ['docker', 'podman'] : [engine]
}

async function findTools(host: Host, more: readonly string[]): Promise<Tools> {
  const capture = ['bash', 'tar', 'find', 'sha256sum', 'igzip', 'pigz', 'gzip', 'sqlite3', ...usual]
  const { stdout } = await host.run(script, [...capture, ...more], { timeout: 20 })
  const lines = stdout
    .toString()
    .split('\n')
    .map((line) => line.split('\t'))
  return new Map(lines.flatMap(([name, at, said = '']) => (name && at ? [[name, { path: at, said }]] : [])))
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

function judgeNode(version: string): Finding {
  return isAtLeast(version, leastNode)
    ? ok(version, 'node')
    : wrong(`${version} is too old`, `install ${leastNode.join('.')} or newer`, 'node')
}

/** What packs and checks on any host. */
export function judgeCapture(tools: Tools): Finding[] {
  const version = (name: string) => /\d+\.\d+(?:\.\d+)*/.exec(tools.get(name)?.said ?? '')?.[0] ?? '0.0'
  const gnu = (name: string, mark: RegExp, least: readonly [number, number]) => {
    const tool = tools.get(name)
    if (tool === undefined)
      return missing(name, name === 'find' ? 'findutils' : name, 'nothing can be packed')
    if (!mark.test(tool.said))
      return wrong(`${tool.path} is not GNU ${name} (${tool.said})`, `apt-get install ${name}`, name)
    return isAtLeast(version(name), least)
      ? ok(tool.said, name)
      : wrong(`${tool.said} is too old`, `install ${least.join('.')} or newer`, name)
  }
  const lacking = usual.filter((name) => !tools.has(name))
  return [
    gnu('bash', /GNU bash/, [5, 0]),
    gnu('tar', /GNU tar/, [1, 30]),
    gnu('find', /GNU findutils/, [4, 0]),
    there(tools, 'sha256sum', 'coreutils', 'no record can be checked'),
    judgeCompressor(tools),
    tools.has('sqlite3')
      ? ok(`${tools.get('sqlite3')?.path}: open databases are copied in a consistent state`, 'sqlite3')
      : {
          status: 'warning',
          name: 'sqlite3',
          found: 'is not there: a database that is being written to is packed as it lies',
          todo: 'apt-get install sqlite3',
        },
    lacking.length === 0
      ? ok(`${usual.join(', ')} are there`, 'others')
      : wrong(
          `${lacking.join(', ')} not found`,
          'apt-get install coreutils grep mawk sed util-linux',
          'others',
        ),
  ]
}

/** The order of lib/capture/compressor.ts. */
function judgeCompressor(tools: Tools): Finding {
  const used = ['igzip', 'pigz', 'gzip'].find((name) => tools.has(name))
  if (used === undefined) return missing('gzip', 'isal', 'nothing can be packed', 'compressor')
  const better = used === 'igzip' ? '' : '; igzip (apt-get install isal) is several times as fast'
  return ok(`${used} is used${better}`, 'compressor')
}

function judgeEngine(tools: Tools, engines: readonly string[], host: string): Finding {
  const used = engines.find((name) => tools.has(name))
  if (used !== undefined) return ok(`${tools.get(used)?.path} is used`, 'container engine')
  return wrong(
    `${engines.join(' and ')} not found on ${host}: images cannot be saved`,
    'install docker, or set CONTAINER_ENGINE to the engine that the workshop runs in',
    'container engine',
  )
}

function there(tools: Tools, name: string, from: string, otherwise: string): Finding {
  const tool = tools.get(name)
  return tool === undefined ? missing(name, from, otherwise) : ok(tool.said || tool.path, name)
}

function missing(name: string, from: string, otherwise: string, as = name): Finding {
  return wrong(`${path.basename(name)} is not there: ${otherwise}`, `apt-get install ${from}`, as)
}

/** Compares two versions by their first two numbers. */
export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number)
  return ownMajor > major || (ownMajor === major && ownMinor >= minor)
}
