import { backUpItem } from './backup-item.ts'
import { backUpModels } from './backup-models.ts'
import type { Capture } from './capture/capture.ts'
import { filesCapture } from './capture/files.ts'
import { imageCapture } from './capture/image.ts'
import type { ModelSource } from './capture/models.ts'
import { pushToRepository } from './capture/repository.ts'
import type { CaptureKind, HostName, Source } from './inventory.ts'
import type { Job, Plan, Target } from './plan.ts'
import type { StoreOutcome } from './report.ts'
import type { Settings } from './settings.ts'
import type { S3Store } from './stores/s3.ts'
import type { RotatingStore } from './stores/store.ts'
import type { Workplace } from './workplace.ts'

export interface Stored {
  outcomes: [store: string, outcome: StoreOutcome][]
  warnings: string[]
  /** Nothing of it is on its host, and nothing of it is required: which sources. */
  absent?: string
  /** Why nothing was stored anywhere, though nothing failed. */
  reason?: string
}

/** Removes what the target's rule does not keep; returns warnings. */
type Rotate = (target: Target, store: RotatingStore) => Promise<string[]>

/** Brings one item into its stores, in the way of its kind. Throws what keeps it out of all of them. */
export async function storeItem(plan: Plan, job: Job, place: Workplace, rotate: Rotate): Promise<Stored> {
  const { capture } = job
  switch (capture.kind) {
    case 'files':
      return storeArchive(plan, job, place, filesCapture(place.host(job.host), capture.sources), rotate)
    case 'image': {
      const { images, containerEngine } = place.settings
      const image = imageCapture(place.host(job.host), job.item, images[job.item], containerEngine)
      return storeArchive(plan, job, place, image, rotate)
    }
    case 'models':
      return storeModels(plan, job, place, capture)
    case 'repository':
      return storeInRepository(plan, job, place, capture.sources)
  }
}

async function storeArchive(
  plan: Plan,
  job: Job,
  place: Workplace,
  capture: Capture,
  rotate: Rotate,
): Promise<Stored> {
  const stores = new Map(job.targets.map((target) => [target, place.store(target.store, target.bucket)]))
  const { outcomes, warnings, absent } = await backUpItem({
    plan,
    job,
    now: place.clock(),
    capture,
    stores,
    acceptShrink: place.acceptShrink,
    onBytes: (bytes) => place.watch.bytes(job, bytes),
  })
  for (const [target, { status }] of outcomes) {
    if (target.keep === undefined || status === 'failed') continue
    warnings.push(...(await rotate(target, stores.get(target) as RotatingStore)))
  }
  return { outcomes: byName(outcomes), warnings, ...(absent !== undefined ? { absent } : {}) }
}

async function storeModels(
  plan: Plan,
  job: Job,
  place: Workplace,
  capture: CaptureKind & { kind: 'models' },
): Promise<Stored> {
  const { outcomes, warnings } = await backUpModels({
    plan,
    job,
    now: place.clock(),
    source: modelSource(job.host, capture, place.settings),
    host: place.host(job.host),
    // Models go to object stores alone (facts, "R2 Buckets", 2).
    stores: new Map(
      job.targets.map((target) => [target, place.store(target.store, target.bucket) as S3Store]),
    ),
    onTotal: (bytes) => place.watch.total(job, bytes),
    onBytes: (bytes) => place.watch.bytes(job, bytes),
    onFile: (store, file) => place.watch.fileDone(job, store, file),
  })
  return { outcomes: byName(outcomes), warnings }
}

/** Where the models are; on a share, with the mount that must be there. */
export function modelSource(
  host: HostName,
  { path, folders, extension }: CaptureKind & { kind: 'models' },
  { sfs, roots }: Settings,
): ModelSource {
  const onShare = sfs.requireMount && roots[host] === '/' && path.startsWith(`${sfs.root}/`)
  return { path, folders, extension, ...(onShare ? { mount: sfs.root } : {}) }
}

async function storeInRepository(
  plan: Plan,
  job: Job,
  place: Workplace,
  sources: readonly Source[],
): Promise<Stored> {
  const repository = place.settings.repositories.credentials
  if (repository === undefined) {
    const reason = 'CREDENTIALS_REPO is not set: there is no private repository to push them to'
    return { outcomes: [], warnings: [], reason }
  }
  const outcome = await pushToRepository({
    host: place.host(job.host),
    sources,
    base: place.settings.projectDir[job.host],
    repository,
    folder: plan.environment === 'production' ? '' : `${plan.environment}/`,
    message: `${job.item} of ${job.host} (${plan.environment}) at ${place.clock().toISOString()}`,
    acceptShrink: place.acceptShrink,
  })
  return { outcomes: [['git', outcome]], warnings: [] }
}

function byName(outcomes: Map<Target, StoreOutcome>): Stored['outcomes'] {
  return [...outcomes].map(([{ store }, outcome]) => [store, outcome])
}
