import path from 'node:path'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'

/** The Node runtime that is backed up with the toolkit: on a bare instance a restore has no other. */
export const runtimeChecks: readonly Check[] = [
  {
    group: 'tools',
    name: 'runtime',
    what: "that the toolkit's bin/node on Verda would run on a bare instance",
    uses: ['VERDA_SSH', 'VERDA_ROOT', 'TOOLKIT_DIR'],
    check: checkRuntime,
  },
]

async function checkRuntime({ host, settings }: Context): Promise<Finding[]> {
  const verda = await host('verda')
  const folder = path.join(verda.root, settings.toolkitDir)
  const { stdout, exitCodes } = await verda.run(script, [folder], { timeout: 20 })
  const [version = '', ...libraries] = stdout.toString().trim().split('\n')
  const anew = `take a Node from nodejs.org or NodeSource, and: install -D <that node> ${folder}/bin/node`
  if (exitCodes.includes(exitNoToolkit))
    return [
      warning(
        `there is no toolkit in ${folder}`,
        'see README.md, "Set up on Verda"; else a restore begins with git and npm',
      ),
    ]
  if (exitCodes.includes(exitNoRuntime))
    return [
      wrong(`${folder}/bin/node is not there: the toolkit's archive would not run on a new instance`, anew),
    ]
  if (exitCodes.includes(exitNotItself))
    return [wrong(`${folder}/bin/node is no program of its own, but a script or a link to elsewhere`, anew)]
  if (!/^v\d+\.\d+/.test(version)) return [wrong(`${folder}/bin/node does not run`, anew)]
  const others = libraries.filter((library) => library !== '' && !bare.test(library))
  if (others.length > 0)
    return [wrong(`${folder}/bin/node needs ${others.join(', ')}, which a bare instance does not have`, anew)]
  return [ok(`${folder}/bin/node is ${version}, and runs by itself`)]
}

/** What every Debian and Ubuntu has, the smallest too. */
const bare =
  /^(?:linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libstdc\+\+|libgcc_s|libatomic)(?=[.-])/

const exitNoToolkit = 40
const exitNoRuntime = 41
const exitNotItself = 42

/** Argument: the toolkit's folder. Prints the runtime's version, then the names of the libraries that it is linked to. */
const script = `
[[ -e $1/package.json ]] || exit ${exitNoToolkit}
node=$1/bin/node
[[ -e $node ]] || exit ${exitNoRuntime}
[[ ! -L $node && $(head -c 4 -- "$node" | tr -d '\\0') == $'\\x7fELF' ]] || exit ${exitNotItself}
"$node" --version
ldd -- "$node" 2>/dev/null | sed 's/^[[:space:]]*//; s/ .*//; s,.*/,,'
`
