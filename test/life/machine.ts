import { Readable } from 'node:stream'
import { memberMark, packScript, surveyScript } from '../../lib/capture/files-scripts.ts'
import { exitNotMounted, listScript, readScript } from '../../lib/capture/models-scripts.ts'
import { type Host, HostError, type Outcome, type RunOptions, type RunResult } from '../../lib/hosts/host.ts'
import type { HostName, Item } from '../../lib/inventory.ts'
import { captureOf } from '../../lib/plan.ts'
import type { Settings } from '../../lib/settings.ts'
import type { Chance } from './chance.ts'
import { scaled, tokenOf } from './token.ts'
import { archived, type World } from './world.ts'

/**
 * A machine as captures see it: it answers their very scripts as bash would, out of the ledger. `from`: where the process runs; another machine
 * is behind ssh. `chance`: whether files change while they are read.
 */
export function machineIn(world: World, name: HostName, from: HostName, chance: Chance): Host {
  const machine = world[name]
  const reach = () => {
    if (name !== from && !machine.on)
      throw new HostError(`${name} cannot be reached: ssh: connect: timed out`)
  }
  return {
    name,
    root: '/',
    async run(script, args, options = {}) {
      reach()
      if (script === surveyScript) return survey(world, args, options)
      if (script === listScript) return listing(world, args)
      if (script.includes(' image inspect ')) return inspection(world, args)
      if (script === '[ ! -e "$1" ]') return result(name === 'verda' && world.verda.restoring ? 1 : 0)
      throw new Error(`a script that this machine does not know:\n${script}`)
    },
    stream(script, args, judge, options = {}) {
      const bytes = async function* () {
        reach()
        if (script === packScript) yield* pack(world, args, judge, options, chance)
        else if (script === readScript) yield* readModel(world, args, judge)
        else if (script.includes('" save "')) yield* save(world, args, judge, options)
        else throw new Error(`a script that this machine does not know:\n${script}`)
      }
      return Readable.from(bytes(), { objectMode: false })
    },
    close: async () => {},
  }
}

/** The item that is captured from these sources: the first of them is no other's. */
function itemOf({ settings }: World, [, , first = '']: string[]): Item {
  const found = firstSources(settings).get(first)
  if (found === undefined) throw new Error(`no item begins with ${first}`)
  return found
}

function firstSources(settings: Settings): Map<string, Item> {
  const known = sources.get(settings)
  if (known !== undefined) return known
  const made = new Map(
    archived.flatMap((item): [string, Item][] => {
      const capture = captureOf(item, settings)
      return capture.kind === 'files' ? [[(capture.sources[0]?.path ?? '').slice(1), item]] : []
    }),
  )
  sources.set(settings, made)
  return made
}

const sources = new WeakMap<Settings, Map<string, Item>>()

function result(exitCode: number, stdout = ''): RunResult {
  return { exitCodes: [exitCode], stderr: '', stdout: Buffer.from(stdout) }
}

function survey(world: World, args: string[], { onLine }: RunOptions): RunResult {
  const { version, bytes, fingerprint } = world.ledger.current(itemOf(world, args).name)
  const counts = Array.from(
    { length: Number(args[1]) },
    (_, index) => `source ${index} ${version === 0 ? 0 : 1}`,
  )
  if (version === 0) return result(0, `${counts.join('\n')}\n`)
  onLine?.(`total 1 ${bytes} 0 1`)
  return result(0, `${counts.join('\n')}\nfingerprint ${fingerprint}  -\n`)
}

async function* pack(
  world: World,
  args: string[],
  judge: (outcome: Outcome) => void,
  { onLine }: RunOptions,
  chance: Chance,
) {
  const item = itemOf(world, args)
  const { version, bytes } = world.ledger.current(item.name)
  yield tokenOf(item.name, version, bytes)
  const capture = captureOf(item, world.settings)
  const mustHave = capture.kind === 'files' ? capture.sources.flatMap((source) => source.mustHave ?? []) : []
  for (const member of ['a/file', ...mustHave.map((pattern) => pattern.replaceAll('*', 'a'))])
    onLine?.(memberMark + member)
  const changed = item.name === 'home-dev' && chance.happens(0.02)
  if (changed) onLine?.('tar: home/dev/.zsh_history: file changed as we read it')
  judge({ exitCodes: [changed ? 1 : 0, 0], stderr: '' })
}

/** An image's id is its content's: the same image loaded anew is the same. */
function inspection(world: World, [, , name = '']: string[]): RunResult {
  const { version, bytes } = world.ledger.current(name)
  const id = `sha256:${String(version).padStart(64, '0')}`
  return result(0, `ghcr.io/workshop/${name}:latest\n${id}\nghcr.io/workshop/${name}:latest\n${bytes}\n`)
}

async function* save(
  world: World,
  [, , name = '']: string[],
  judge: (outcome: Outcome) => void,
  { onLine }: RunOptions,
) {
  const { version, bytes } = world.ledger.current(name)
  yield tokenOf(name, version, bytes)
  for (const line of ['member manifest.json', 'member blobs/layer', 'needs blobs/layer', 'listed'])
    onLine?.(line)
  judge({ exitCodes: [0, 0, 0], stderr: '' })
}

function listing({ share, models }: World, [, mount]: string[]): RunResult {
  if (mount !== '' && (share === 'unmounted' || share === 'hangs')) return result(exitNotMounted)
  return result(0, [...models].map(([path, { bytes }]) => `model ${scaled(bytes)} 0 ${path}\0`).join(''))
}

async function* readModel(world: World, [, path = '']: string[], judge: (outcome: Outcome) => void) {
  const bytes = world.models.get(path)?.bytes as number
  yield tokenOf(path, 1, bytes)
  judge({ exitCodes: [0], stderr: '' })
}
