import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { captureOf } from '../../lib/backup/plan.ts'
import { exitNotMounted, lengthsScript, listScript, readScript } from '../../lib/capture/models.ts'
import { restoringScript } from '../../lib/capture/restoring.ts'
import {
  keystoneScript,
  memberMark,
  packScript,
  pathsScript,
  surveyMark,
  surveyScript,
} from '../../lib/capture/scripts.ts'
import { type Host, HostError, type Outcome, type RunOptions, type RunResult } from '../../lib/hosts/host.ts'
import type { HostName, Item } from '../../lib/inventory.ts'
import type { Settings } from '../../lib/settings/settings.ts'
import type { Chance } from './chance.ts'
import { scaled, tokenOf } from './token.ts'
import { archived, type World } from './world.ts'

/**
 * A machine as captures see it: answers their scripts from the ledger, as bash would. `from`: where the
 * process runs; another machine is behind ssh. `chance`: whether files change during a read.
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
      // The simulation does not model file contents.
      if (script === keystoneScript) return result(0, '{"_machinekey":"a","_current-profile":"eA=="}')
      if (script === lengthsScript) return result(0, '\n'.repeat(args.length - 1))
      if (script === restoringScript) return result(name === 'verda' && world.verda.restoring ? 1 : 0)
      throw new Error(`a script that this machine does not know:\n${script}`)
    },
    stream(script, args, judge, options = {}) {
      const bytes = async function* () {
        reach()
        if (script === packScript) yield* pack(world, args, judge, options, chance)
        else if (script === pathsScript) yield paths(world, args, judge, options)
        else if (script === readScript) yield* readModel(world, args, judge)
        else if (script.includes('" save "')) yield* save(world, args, judge, options)
        else throw new Error(`a script that this machine does not know:\n${script}`)
      }
      return Readable.from(bytes(), { objectMode: false })
    },
    $: async () => {
      throw new Error('no run of the life types a command')
    },
    close: async () => {},
  }
}

/** The item with these sources: no two items share a first source. */
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
  const item = itemOf(world, args)
  const { version, bytes, fingerprint } = world.ledger.current(item.name)
  const sources = Number(args[1])
  if (version === 0) {
    for (let index = 0; index < sources; index++) onLine?.(`${surveyMark}is ${index} missing`)
    return result(0)
  }
  for (let index = 0; index < sources; index++) {
    onLine?.(`${surveyMark}is ${index} there`)
    onLine?.(`${surveyMark}holds ${index} 1 ${Math.ceil(bytes / sources)}`)
  }
  const digest = item.increments
    ? createHash('sha256').update(pathsText(world, args)).digest('hex')
    : fingerprint
  return result(0, `fingerprint ${digest}  -\n`)
}

async function* pack(
  world: World,
  args: string[],
  judge: (outcome: Outcome) => void,
  { onLine, input }: RunOptions,
  chance: Chance,
) {
  const item = itemOf(world, args)
  const { version, bytes } = world.ledger.current(item.name)
  yield tokenOf(item.name, version, input ? changedBytes(bytes) : bytes)
  for (const { path, type } of entriesOf(world, args, item))
    if (input === undefined || input.toString().split('\0').includes(path))
      onLine?.(`${memberMark}${path}${type === 'd' ? '/' : ''}`)
  const capture = captureOf(item, world.settings)
  const mustHave = capture.kind === 'files' ? capture.sources.flatMap((source) => source.mustHave ?? []) : []
  for (const member of ['a/file', ...mustHave.map((pattern) => pattern.replaceAll('*', 'a'))])
    onLine?.(memberMark + member)
  const changed = item.name === 'home-dev' && chance.happens(0.02)
  if (changed) onLine?.('tar: home/dev/.zsh_history: file changed as we read it')
  judge({ exitCodes: [changed ? 1 : 0, 0], stderr: '' })
}

/** How much of an item changes at a time. */
const changedBytes = (bytes: number) => Math.round(bytes / 100)

/** Each item is a folder with a constant file and one for its version. */
function entriesOf({ ledger }: World, [, , source = '']: string[], { name }: Item) {
  const { version, bytes, fingerprint } = ledger.current(name)
  const inode = Number.parseInt(fingerprint.slice(0, 8), 16)
  const changed = changedBytes(bytes)
  return [
    { path: source, type: 'd', size: 4096, time: 1, inode: 1 },
    { path: `${source}/stays`, type: 'f', size: 1e12, time: 1, inode: 2 },
    { path: `${source}/version`, type: 'f', size: changed, time: version, inode },
  ]
}

function pathsText(world: World, args: string[]): string {
  const entries = entriesOf(world, args, itemOf(world, args))
  return entries
    .map(
      ({ path, type, size, time, inode }) =>
        `${path}\0${type} ${size} ${time}.0 ${time}.0 ${inode} 644 0 0 \0`,
    )
    .join('')
}

function paths(
  world: World,
  args: string[],
  judge: (outcome: Outcome) => void,
  { onLine }: RunOptions,
): Buffer {
  for (let times = 0; times < 2; times++) onLine?.(`${surveyMark}${world.now / 1000}`)
  judge({ exitCodes: [0, 0], stderr: '' })
  return gzipSync(pathsText(world, args))
}

/** An image's id depends on its content: loading the same image again gives the same id. */
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
  const manifest = [{ Config: 'blobs/config', Layers: ['blobs/layer'], RepoTags: [`${name}:latest`] }]
  const text = Buffer.from(JSON.stringify(manifest)).toString('base64')
  for (const member of ['manifest.json', 'blobs/config', 'blobs/layer']) onLine?.(`member ${member}`)
  for (const line of [`text manifest.json ${text}`, 'listed']) onLine?.(line)
  judge({ exitCodes: [0, 0, 0], stderr: '' })
}

function listing({ share, models }: World, [, mount]: string[]): RunResult {
  if (mount !== '' && (share === 'unmounted' || share === 'hangs')) return result(exitNotMounted)
  return result(0, [...models].map(([path, { bytes }]) => `model ${scaled(bytes)} 0 0 0 ${path}\0`).join(''))
}

async function* readModel(world: World, [, path = '']: string[], judge: (outcome: Outcome) => void) {
  const bytes = world.models.get(path)?.bytes as number
  yield tokenOf(path, 1, bytes)
  judge({ exitCodes: [0], stderr: '' })
}
