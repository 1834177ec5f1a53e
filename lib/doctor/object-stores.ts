import { secondsInWords } from '../cli/words.ts'
import { type Bucket, type BucketName, buckets, stores } from '../inventory.ts'
import type { ObjectStoreName } from '../stores/open.ts'
import { probeKey } from '../stores/s3-condition.ts'
import { refusesDamage } from '../stores/s3-damage.ts'
import { S3Failure } from '../stores/s3-failure.ts'
import { multipartProbe, probeRange } from '../stores/s3-probes.ts'
import { type Check, type Finding, NotChecked, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { isInTheClear } from './in-the-clear.ts'
import { keySettings } from './object-store-access.ts'

/** Servers are slow and links narrow: 11 MB go up and come back. */
const slowSeconds = 180

/** The server and its key, each bucket, and what this project relies on; the last is tried in the cache bucket alone. */
export function objectStoreChecks(name: ObjectStoreName): Check[] {
  const keys = keySettings(name)
  const inCache = [...keys, buckets.cache.setting]
  const asked = (what: string, more: string, uses: readonly string[], check: Check['check']): Check => ({
    group: 'stores',
    name: `${name} ${what}`,
    what: more,
    uses,
    limit: slowSeconds,
    check,
  })
  return [
    asked('server', 'that it answers, and accepts the key', keys, (context) => checkServer(context, name)),
    ...(Object.entries(buckets) as [BucketName, Bucket][]).map(([bucket, { setting, name: title }]) =>
      asked(
        title,
        `listing, and that conditional writes are honoured; writes ${probeKey} the first time`,
        [...keys, setting],
        (context) => checkBucket(context, name, bucket),
      ),
    ),
    asked(
      'multipart',
      `an upload in equal parts and a smaller last one, completed with If-None-Match; writes ${multipartProbe.key} the first time`,
      inCache,
      (context) => checkMultipart(context, name),
    ),
    asked('range reads', 'that a part of an object can be read', inCache, (context) =>
      checkRange(context, name),
    ),
    asked('Content-MD5', 'that content damaged on the way is refused', inCache, (context) =>
      checkMd5(context, name),
    ),
    asked(
      'deletion',
      'what the key may do beyond what it needs, and the locks of the buckets',
      keys,
      (context) => [cannotBeSeen(context, name)],
    ),
  ]
}

async function checkServer({ objectStores, settings }: Context, name: ObjectStoreName): Promise<Finding[]> {
  const { endpoint = '' } = settings[name] ?? {}
  const { hostname } = new URL(endpoint)
  const { seconds } = await objectStores.greet(name).catch((error) => {
    throw unanswered(error, hostname, name)
  })
  await objectStores.knock(name)
  const answers = `${hostname} answers in ${secondsInWords(seconds)}, and accepts the key`
  if (!isInTheClear(endpoint)) return [ok(answers)]
  return [
    warning(
      `${answers}, but over plain http: whoever sits between can read every archive, and answer in its place`,
      `give the server a certificate, and let ${name.toUpperCase()}_ENDPOINT begin with https://`,
    ),
  ]
}

function unanswered(error: unknown, hostname: string, name: ObjectStoreName): unknown {
  const { name: kind, cause } = error as Error
  const { code, message } = (cause ?? error) as NodeJS.ErrnoException
  const why = kind === 'TimeoutError' ? 'no answer within 10 s' : (code ?? message)
  return new S3Failure(
    `${hostname} does not answer (${why}). Check the network, the name service and ${name.toUpperCase()}_ENDPOINT, then run doctor again`,
    code ?? kind,
    undefined,
    true,
  )
}

async function checkBucket({ objectStores }: Context, name: ObjectStoreName, bucket: BucketName) {
  const { store } = await objectStores.bucket(name, bucket)
  const { warning: overwrites } = await store.probe()
  if (overwrites !== undefined)
    return [
      wrong(
        'can be listed and written to, but the server ignores conditional writes (If-None-Match): it would overwrite',
        'lock the bucket and let no two machines back up to it, or take a provider that honours them',
      ),
    ]
  return [ok('can be listed and written to, and conditional writes are honoured')]
}

async function checkMultipart(context: Context, name: ObjectStoreName): Promise<Finding[]> {
  const { key } = multipartProbe
  try {
    const how = await context.objectStores.multipart(name)
    if (how === 'created') return [ok(`${key} was sent in three parts, completed and read back`)]
    return [ok(`${key}, which an earlier run sent in three parts, reads back as it was sent`)]
  } catch (error) {
    throw (error as S3Failure).code === 'InvalidPart' || (error as S3Failure).code === 'EntityTooSmall'
      ? new S3Failure(
          `${(error as Error).message}. The server does not put equal parts and a smaller last one together: nothing above 16 MB can be stored; ask the provider`,
          'InvalidPart',
          400,
          false,
        )
      : error
  }
}

async function checkRange(context: Context, name: ObjectStoreName): Promise<Finding[]> {
  await context.objectStores.multipart(name).catch((error) => {
    throw error instanceof NotChecked
      ? error
      : new NotChecked('there is no object to read', `mend "stores ${name} multipart" first`)
  })
  const { store } = await context.objectStores.bucket(name, 'cache')
  if (await probeRange(store)) return [ok('an object can be read from any byte on')]
  return [
    wrong(
      'the server does not give the part of an object that is asked for (Range)',
      'large archives cannot be verified or restored from there: ask the provider, or take another',
    ),
  ]
}

async function checkMd5(context: Context, name: ObjectStoreName): Promise<Finding[]> {
  const { connection } = await context.objectStores.bucket(name, 'cache')
  if (await refusesDamage(connection, 'md5')) return [ok('content with a wrong Content-MD5 is refused')]
  return [
    wrong(
      'the server took content with a wrong Content-MD5: what is damaged on the way to it is stored',
      'each upload is still read back and compared; run verify often, and ask the provider',
    ),
  ]
}

/** Only trying would tell, and what is tried may succeed. */
function cannotBeSeen({ settings }: Context, name: ObjectStoreName): Finding {
  const names = Object.values(settings[name]?.buckets ?? {})
  const look =
    name === 'r2'
      ? `npx wrangler r2 bucket lock list ${names[0]}, and so for ${names.slice(1).join(', ')}`
      : `aws s3api get-object-lock-configuration --endpoint-url ${settings[name]?.endpoint} --bucket ${names[0]}, and so for ${names.slice(1).join(', ')}`
  return warning(
    `whether this key may delete, and whether the buckets are locked, cannot be seen from here: doctor never tries`,
    `from a computer that may see the configuration of ${stores[name].title}: ${look}`,
  )
}
