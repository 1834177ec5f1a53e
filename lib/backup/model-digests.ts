import * as v from 'valibot'
import { type Model, type ModelSource, readModel } from '../capture/models.ts'
import { sha256Of } from '../stores/digests.ts'
import type { JobContext } from './context.ts'
import { memoryOf } from './same-content.ts'

/** This machine's memory of models' digests. If lost, it costs one more reading. */
export interface ModelDigests {
  /** Undefined if this very file has not been read yet. */
  known(model: Model): Promise<string | undefined>
  /** Whether the last reading was of another file, whatever the times say. */
  wasOther(model: Model): Promise<boolean>
  /** Reads the file unless it is known. */
  of(model: Model): Promise<string>
  note(model: Model, identity: string | undefined, sha256: string): Promise<void>
}

export function modelDigests(
  context: JobContext,
  source: ModelSource,
  models: readonly Model[],
): ModelDigests {
  const memory = memoryOf(context, 'models', v.record(v.string(), seen))
  let loaded: Promise<Known> | undefined
  let writing = Promise.resolve()
  const load = () => {
    loaded ??= memory.read().then((known) => new Map(Object.entries(known ?? {})))
    return loaded
  }
  const digests: ModelDigests = {
    async known({ path, identity }) {
      const seen = (await load()).get(path)
      return seen?.identity === identity ? seen.sha256 : undefined
    },
    async wasOther({ path, identity }) {
      const seen = (await load()).get(path)
      return seen !== undefined && withoutCtime(seen.identity) !== withoutCtime(identity)
    },
    async of(model) {
      const before = await digests.known(model)
      if (before !== undefined) return before
      let identity: string | undefined
      const sha256 = await sha256Of(
        readModel(context.on, source, model, (is) => {
          identity = is
        }),
      )
      await digests.note(model, identity, sha256)
      return sha256
    },
    async note(model, identity, sha256) {
      if (identity === undefined) return
      const all = await load()
      all.set(model.path, { identity, sha256 })
      writing = writing.then(() => write(all))
      await writing
    },
  }

  async function write(all: Known): Promise<void> {
    const there = models.flatMap(({ path }): [string, Seen][] => {
      const seen = all.get(path)
      return seen ? [[path, seen]] : []
    })
    await memory.write(Object.fromEntries(there))
  }
  return digests
}

/** A new owner or mode changes only the ctime. */
function withoutCtime(identity: string): string {
  const [bytes, mtime, , inode] = identity.split(' ')
  return `${bytes} ${mtime} ${inode}`
}

type Seen = v.InferOutput<typeof seen>
type Known = Map<string, Seen>

const seen = v.object({ identity: v.string(), sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) })
