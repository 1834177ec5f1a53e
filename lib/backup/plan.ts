import path from 'node:path'
import type { ModelSource } from '../capture/models.ts'
import {
  type BucketName,
  buckets,
  type CaptureKind,
  type CommandName,
  type HostName,
  type Item,
  items,
  type Source,
  type StoreName,
  type StorePolicy,
  stores,
} from '../inventory.ts'
import { environmentFolder, type StampUnit } from '../naming.ts'
import type { KeepRule } from '../retention.ts'
import type { Settings } from '../settings/settings.ts'
import type { Selected } from './select.ts'

/** Everything that one run will do; `--dry-run` prints it, the run executes it. */
export interface Plan {
  command: CommandName
  environment: string
  now: Date
  jobs: Job[]
  /** Requested but left out, and why. */
  skipped: { item: string; reason: string }[]
}

export interface Job {
  item: string
  title: string
  host: HostName
  /** With paths filled in, below the host's root. */
  capture: CaptureKind
  targets: Target[]
  /** In chains of increments where nothing rotates. */
  increments?: true
}

/** One store of one job. */
export interface Target {
  store: StoreName
  bucket: BucketName
  /** The prefix of every key; outside production it includes the environment's folder. */
  folder: string
  /** The unit in the name of a period's first archive. */
  stamp: StampUnit | 'file'
  /** Only present if rotation removes copies outside the rule. */
  keep?: KeepRule
}

/** The plan of a run. Pure: the same arguments give the same plan. */
export function makePlan(
  command: CommandName,
  selected: readonly Selected[],
  settings: Settings,
  now: Date,
): Plan {
  const plan: Plan = { command, environment: settings.environment, now, jobs: [], skipped: [] }
  for (const { item, stores: chosen, leftOut } of selected) {
    if (leftOut !== undefined) {
      plan.skipped.push({ item: item.name, reason: leftOut })
      continue
    }
    const used = chosen.filter((store) => store !== 'hetzner' || settings.hetzner !== undefined)
    plan.jobs.push({
      item: item.name,
      title: item.title,
      host: hostOf(item, settings),
      capture: captureOf(item, settings),
      targets: used.map((store) => target(item, store, settings)),
      increments: item.increments,
    })
  }
  return plan
}

/** The prefix of an item's archives in a store: empty, or ending with a slash. */
export function folderOf(item: Item, environment: string): string {
  const own = item.folder ?? (item.bucket === undefined ? '' : buckets[item.bucket].folder)
  return environmentFolder(environment) + own
}

function target(item: Item, store: StoreName, settings: Settings): Target {
  const name = item.bucket as BucketName
  const bucket: { stamp: StampUnit | 'file'; sfs?: StorePolicy } = buckets[name]
  const rule = bucket.sfs?.keep
  return {
    store,
    bucket: name,
    folder: folderOf(item, settings.environment),
    stamp: bucket.stamp,
    keep: stores[store].rotates && rule !== 'all' ? rule : undefined,
  }
}

/** The host where an item is captured. */
export function hostOf(item: Item, settings: Settings): HostName {
  return item.host === 'user data' ? settings.userDataHost : item.host
}

/** What an item captures, with the settings' paths: absolute, below its host's root. */
export function captureOf(item: Item, settings: Settings): CaptureKind {
  const { capture } = item
  switch (capture.kind) {
    case 'image':
      return capture
    case 'models':
      return { ...capture, path: filled(capture.path, settings) }
    case 'files':
    case 'repository':
      return { ...capture, sources: capture.sources.map((source) => fillInSource(item, source, settings)) }
  }
}

function fillInSource(item: Item, source: Source, settings: Settings): Source {
  const { withoutOtherItems, ...rest } = source
  const own = filled(source.path, settings)
  const exclude = [
    ...(source.exclude ?? []),
    ...(withoutOtherItems ? [...otherItemsBelow(own, item, settings), ...stagedArchives(own)] : []),
  ]
  return { ...rest, path: own, exclude: exclude.length > 0 ? exclude : undefined }
}

/** What below `folder` belongs to another item of the same host, or is a store. */
function otherItemsBelow(folder: string, item: Item, settings: Settings): string[] {
  const host = hostOf(item, settings)
  const theirs = items
    .filter((other) => other.name !== item.name && hostOf(other, settings) === host)
    .flatMap(({ capture }) => {
      if (capture.kind === 'image') return []
      if (capture.kind === 'models') return [literal(filled(capture.path, settings))]
      return capture.sources.map(
        (source) => literal(filled(source.path, settings)) + (source.match ? `/${source.match}` : ''),
      )
    })
  const storeFolder = host === 'verda' ? settings.sfs.cache : settings.melloBackups
  const store = literal(`/${path.relative(settings.roots[host], storeFolder)}`)
  return [...theirs, store].filter((other) => other.startsWith(`${literal(folder)}/`))
}

/** Our archives that a restore put at the top of a home: copies of stored ones. */
function stagedArchives(folder: string): string[] {
  return items.flatMap(({ name }) =>
    [`${name}-20[0-9][0-9]-[0-1][0-9]-[0-3][0-9]*.tar.gz*`, `${name}-latest.tar.gz*`].map(
      (file) => `${literal(folder)}/${file}`,
    ),
  )
}

/** A path as a shell pattern that matches only itself. */
function literal(text: string): string {
  return text.replace(/[\\*?[]/g, '\\$&')
}

function filled(text: string, settings: Settings): string {
  const places: Record<string, string> = {
    $PROJECT_DIR: settings.projectDir.verda,
    $MELLO_PROJECT_DIR: settings.projectDir.mello,
    $MODELS_DIR: settings.modelsDir,
    $TOOLKIT_DIR: settings.toolkitDir,
  }
  return text.replace(/^\$[A-Z_]+/, (name) => places[name] ?? name)
}

/** The models' folder; on a share, with the mount that must exist. */
export function modelSource(
  host: HostName,
  { path, folders, extension }: CaptureKind & { kind: 'models' },
  { sfs, roots }: Settings,
): ModelSource {
  const onShare = sfs.requireMount && roots[host] === '/' && path.startsWith(`${sfs.root}/`)
  return { path, folders, extension, mount: onShare ? sfs.root : undefined }
}
