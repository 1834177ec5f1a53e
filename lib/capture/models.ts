import type { Readable } from 'node:stream'
import type { Host } from '../hosts/host.ts'
import { CaptureError } from './capture.ts'
import { complaint } from './complaint.ts'
import { exitChanged, exitNoModels, exitNotMounted, listScript, readScript } from './models-scripts.ts'

/** A model file by its path below the models' folder, which is its key. */
export interface Model {
  path: string
  bytes: number
}

export interface ModelListing {
  models: Model[]
  /** Links to nowhere, and names that cannot be a key: models that a user counts on and nobody can back up. */
  broken: string[]
  /** Files and folders that no rule covers. */
  others: string[]
}

export interface ModelSource {
  /** The folder of the models below the host's root. */
  path: string
  folders: readonly string[]
  extension: string
  /** A path on the host that must be a mount point. */
  mount?: string
}

/** What lies in the models' folders on a host. Throws CaptureError when there is nothing. */
export async function listModels(host: Host, source: ModelSource): Promise<ModelListing> {
  const folder = below(host, source.path)
  const args = [folder, source.mount ?? '', source.extension, ...source.folders]
  const { stdout, stderr, exitCodes } = await host.run(listScript, args)
  if (exitCodes.includes(exitNotMounted))
    throw new CaptureError(`${source.mount} is not mounted on ${host.name}: the models are not there`)
  if (exitCodes.includes(exitNoModels))
    throw new CaptureError(`${folder} is not there on ${host.name}: no models to back up`)
  if (exitCodes.some((code) => code !== 0))
    throw new CaptureError(`${folder} cannot be listed on ${host.name}: ${stderr.trim().split('\n').at(-1)}`)

  const listing: ModelListing = { models: [], broken: [], others: [] }
  for (const record of stdout.toString().split('\0')) {
    const [kind = '', ...rest] = record.split(' ')
    if (kind === 'model') {
      const path = rest.slice(2).join(' ')
      const bytes = Number(rest[0])
      if (isKey(path) && isModel(path, source) && Number.isSafeInteger(bytes))
        listing.models.push({ path, bytes })
      else listing.broken.push(path)
    } else if (kind === 'broken') listing.broken.push(rest.join(' '))
    else if (kind === 'other') listing.others.push(rest.join(' '))
  }
  if (listing.models.length === 0)
    throw new CaptureError(
      `${folder} on ${host.name} holds no ${source.extension} file in ${source.folders.join(', ')}`,
    )
  listing.models.sort((a, b) => (a.path < b.path ? -1 : 1))
  return listing
}

/** A model's bytes. The stream fails when the file is another at its end than at its beginning. */
export function readModel(host: Host, source: ModelSource, model: Model): Readable {
  return host.stream(readScript, [below(host, source.path), model.path], ({ exitCodes, stderr }) => {
    if (exitCodes.includes(exitChanged)) {
      throw new CaptureError(
        `${model.path} changed while it was read on ${host.name}: it is perhaps still being downloaded; the next run takes it`,
      )
    }
    if (exitCodes.some((code) => code !== 0)) {
      throw new CaptureError(
        `${model.path} could not be read whole on ${host.name}: ${complaint({ stderr, exitCodes })}`,
      )
    }
  })
}

/** A name that is not UTF-8 was decoded with U+FFFD and would not lead back to its file; a record cannot hold a newline. */
function isKey(path: string): boolean {
  return !path.includes('\uFFFD') && !/[\n\r\\]/.test(path)
}

/** A listing comes from a host that somebody may have taken: what lies in none of the folders has no place in the bucket. */
function isModel(path: string, { folders, extension }: ModelSource): boolean {
  const parts = path.split('/')
  const inFolder = parts.length > 1 && folders.includes(parts[0] as string)
  return inFolder && path.endsWith(extension) && !parts.some((part) => ['', '.', '..'].includes(part))
}

function below(host: Host, path: string): string {
  return (host.root === '/' ? '' : host.root) + path
}
