import { tmpdir } from 'node:os'
import path from 'node:path'
import { git, remoteOf } from '../../capture/repository.ts'
import { type Finding, NotChecked, ok, warning, wrong } from '../../cli/finding.ts'
import { type Bucket, type BucketName, buckets, stores as storeNames } from '../../inventory.ts'
import { type ObjectStoreName, openStore } from '../../stores/open.ts'
import { S3Failure } from '../../stores/s3/failure.ts'
import { probeKey, refusesDamage } from '../../stores/s3/trust.ts'
import { secondsInWords } from '../../text.ts'
import type { Check, Checks, Context, Findings } from '../context.ts'
import { isInTheClear, unsafePermissions } from '../machine.ts'
import { keySettings, multipartProbe, namedObjectStores, probeRange } from '../object-stores.ts'
import { judgeRoom } from './mounts.ts'

export const stores: Checks = ({ on, settings, settingProblems }) => [
  on === 'verda'
    ? directoryCheck('sfs', 'SFS_CACHE', ['SFS_ROOT', 'SFS_CACHE', 'SFS_REQUIRE_MOUNT'])
    : directoryCheck('mello', 'MELLO_BACKUPS', ['MELLO_BACKUPS']),
  ...namedObjectStores(settings, settingProblems).flatMap(objectStoreChecks),
  ...(on === 'mello' && settings.repositories.credentials !== undefined ? [gitCheck] : []),
]

/** The directory store of a machine: the SFS cache on Verda, the copies on Mello. */
function directoryCheck(name: 'sfs' | 'mello', setting: string, uses: readonly string[]): Check {
  return {
    name,
    what: `that ${setting} can be written to, and its free space; creates one empty file and removes it`,
    uses,
    async check({ settings }) {
      const folder = name === 'sfs' ? settings.sfs.cache : settings.melloBackups
      const { freeBytes = 0 } = await openStore(name, 'cache', settings).probe()
      return [
        judgeRoom(folder, 'can be written to and has', freeBytes),
        ...(await judgeOthers([folder, path.join(folder, 'config')], name)),
      ]
    },
  }
}

/** A record proves that an archive is whole, not who made it, and a restore runs as root. */
async function judgeOthers(folders: readonly string[], name: string): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const folder of folders) {
    const why = await unsafePermissions(folder)
    if (why === undefined) continue
    findings.push(
      wrong(
        `${folder} ${why}, and a restore would use an archive that they put there`,
        `run: chmod go-w ${folder}, and give it to the user who makes the backups (chown)`,
        `${name} folder`,
      ),
    )
  }
  return findings
}

/** Long, because 11 MB are sent and read back, possibly over a slow link. */
const slowSeconds = 180

/** The server, its key, each bucket, and the features we rely on. Tests those in the cache bucket only. */
function objectStoreChecks(name: ObjectStoreName): Check[] {
  const keys = keySettings(name)
  const inCache = [...keys, buckets.cache.setting]
  const asked = (
    what: string,
    more: string,
    uses: readonly string[],
    check: (context: Context, name: ObjectStoreName) => Promise<Findings> | Findings,
  ): Check => ({
    name: `${name} ${what}`,
    what: more,
    uses,
    limit: slowSeconds,
    check: (context) => check(context, name),
  })
  return [
    asked('server', 'that it answers and accepts the key', keys, checkServer),
    ...(Object.entries(buckets) as [BucketName, Bucket][]).map(([bucket, { setting, name: title }]) =>
      asked(
        title,
        `listing, writing, and that conditional writes are honoured; writes ${probeKey} the first time`,
        [...keys, setting],
        (context) => checkBucket(context, name, bucket),
      ),
    ),
    asked(
      'multipart',
      `an upload in equal parts and a smaller last one, completed with If-None-Match; writes ${multipartProbe.key} the first time`,
      inCache,
      checkMultipart,
    ),
    asked('range reads', 'that a part of an object can be read', inCache, checkRange),
    asked('Content-MD5', 'that content damaged in transit is refused', inCache, checkMd5),
    asked(
      'deletion',
      'what the key may do beyond what it needs, and the locks of the buckets',
      keys,
      cannotBeSeen,
    ),
  ]
}

async function checkServer({ objectStores, settings }: Context, name: ObjectStoreName): Promise<Findings> {
  const { endpoint = '' } = settings[name] ?? {}
  const { hostname } = new URL(endpoint)
  const { seconds } = await objectStores.greet(name).catch((error) => {
    throw unanswered(error, hostname, name)
  })
  const accepted = (await objectStores.knock(name)) === 'accepted'
  const answers = `${hostname} answers in ${secondsInWords(seconds)}${accepted ? ' and accepts the key' : ''}`
  if (!isInTheClear(endpoint)) return ok(answers)
  return warning(
    `${answers}, but over plain http: anyone in between can read every archive and answer instead`,
    `give the server a certificate, and use an https:// address in ${name.toUpperCase()}_ENDPOINT`,
  )
}

function unanswered(error: unknown, hostname: string, name: ObjectStoreName): unknown {
  const { name: kind, cause } = error as Error
  const { code, message } = (cause ?? error) as NodeJS.ErrnoException
  const why = kind === 'TimeoutError' ? 'no answer within 10 s' : (code ?? message)
  return new S3Failure(
    `${hostname} does not answer (${why}). Check the network, the name service and ${name.toUpperCase()}_ENDPOINT`,
    code ?? kind,
    undefined,
    true,
  )
}

async function checkBucket({ objectStores }: Context, name: ObjectStoreName, bucket: BucketName) {
  const { store } = await objectStores.bucket(name, bucket)
  await store.look()
  await store.tryWrite()
  const { warning: overwrites } = await store.probe()
  if (overwrites === undefined) return ok('can be listed and written to, and conditional writes are honoured')
  return wrong(
    'can be listed and written to, but the server ignores conditional writes (If-None-Match): it would overwrite',
    'lock the bucket and back up to it from one machine only, or choose a provider that honours them',
  )
}

async function checkMultipart({ objectStores }: Context, name: ObjectStoreName): Promise<Findings> {
  const { key } = multipartProbe
  try {
    const how = await objectStores.multipart(name)
    if (how === 'created') return ok(`${key} was sent in three parts, completed and read back`)
    return ok(`${key}, which an earlier run sent in three parts, reads back as it was sent`)
  } catch (error) {
    if (!(error instanceof S3Failure) || !['InvalidPart', 'EntityTooSmall'].includes(error.code)) throw error
    return wrong(
      `${error.message}. The server does not join equal parts and a smaller last one: nothing above 16 MB can be stored`,
      'ask the provider, or choose another',
    )
  }
}

async function checkRange({ objectStores }: Context, name: ObjectStoreName): Promise<Findings> {
  await objectStores.multipart(name).catch((error) => {
    if (error instanceof NotChecked) throw error
    throw new NotChecked('there is no object to read', `fix "stores ${name} multipart" first`)
  })
  const { store } = await objectStores.bucket(name, 'cache')
  if (await probeRange(store)) return ok('a read from the middle of an object gives its end')
  return wrong(
    'the server does not send the part of an object that is asked for (Range)',
    'large archives cannot be verified or restored from it: ask the provider, or choose another',
  )
}

async function checkMd5({ objectStores }: Context, name: ObjectStoreName): Promise<Findings> {
  const { connection } = await objectStores.bucket(name, 'cache')
  if (await refusesDamage(connection, 'md5')) return ok('content with a wrong Content-MD5 is refused')
  return wrong(
    'the server took content with a wrong Content-MD5: it stores what was damaged in transit',
    'each upload is still read back and compared; ask the provider, and run often: comfyume-backup verify',
  )
}

/** Only trying would show it, and the attempt might succeed. */
function cannotBeSeen({ settings }: Context, name: ObjectStoreName): Findings {
  const [first, ...others] = Object.values(settings[name]?.buckets ?? {})
  const look =
    name === 'r2'
      ? `npx wrangler r2 bucket lock list ${first}`
      : `aws s3api get-object-lock-configuration --endpoint-url ${settings[name]?.endpoint} --bucket ${first}`
  return warning(
    'whether this key may delete, and whether the buckets are locked, cannot be seen from here: doctor never tries',
    `from a computer that may see the configuration of ${storeNames[name].title}: ${look}, and the same for ${others.join(', ')}`,
  )
}

const gitCheck: Check = {
  name: 'git',
  what: 'that the repository of the credentials can be read without a prompt',
  uses: ['CREDENTIALS_REPO'],
  async check({ settings }) {
    const address = settings.repositories.credentials ?? ''
    if (/^https?:/.test(address) && !URL.canParse(address))
      return wrong(
        'CREDENTIALS_REPO is not an address',
        'write it as git expects it: https://host/owner/name.git',
      )
    const remote = remoteOf(address)
    const { exitCode, stderr } = await git(tmpdir(), ['ls-remote', '--quiet', '--', remote.address], remote)
    if (exitCode !== 0)
      return wrong(
        `${remote.address} cannot be read: ${stderr}`,
        'check CREDENTIALS_REPO, and that this user can read and push there without a prompt (a key without a passphrase, or a token in the address)',
      )
    const readable = `${remote.address} can be read; only a run can show whether it can be pushed to`
    if (!isInTheClear(address)) return ok(readable)
    return warning(
      `${readable}. It uses plain http: anyone in between can read the credentials and the token`,
      'use an https:// address in CREDENTIALS_REPO, or ssh',
    )
  },
}
