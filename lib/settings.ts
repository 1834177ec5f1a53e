import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { readDotEnv } from './dot-env.ts'
import { type BucketName, buckets, type HostName, items, r2Endpoint, type StoreName } from './inventory.ts'
import { Mistake } from './mistake.ts'
import { Secret } from './secret.ts'
import { readTime } from './time.ts'

export interface ObjectStoreSettings {
  endpoint: string
  accessKeyId: string
  secretAccessKey: Secret
  /** Of temporary credentials, the only ones with which R2 can forbid deletion. */
  sessionToken?: Secret
  buckets: Record<BucketName, string>
}

/** Everything that may differ between two installations, checked. Paths are absolute. */
export interface Settings {
  environment: 'production' | 'staging' | 'testing'
  sfs: {
    root: string
    cache: string
    requireMount: boolean
    prod?: string
    clone?: string
    mountOptions?: string
  }
  melloBackups: string
  /** A destination for ssh, or `local`. */
  verdaSsh: string
  roots: Record<HostName, string>
  projectDir: Record<HostName, string>
  modelsDir: string
  /** Where this toolkit lies on Verda, to be backed up itself. */
  toolkitDir: string
  userDataHost: HostName
  /** Image references by archive name; an image that is not listed is looked up on the host. */
  images: Record<string, string>
  containerEngine?: string
  r2?: ObjectStoreSettings
  hetzner?: ObjectStoreSettings
  tailscale: { expectedAddress: string; authKey?: Secret }
  repositories: { project?: string; scripts?: string; credentials?: string }
  /** BACKUP_NOW; absent means the clock. */
  now?: Date
  pingUrl?: Secret
}

/** Every wrong or missing setting of a run, none of them with its value where that may be a secret. */
export class SettingsError extends Mistake {
  override name = 'SettingsError'
  override readonly explainedByHelp = false
  constructor(readonly problems: string[]) {
    super(
      `wrong settings (environment, or .env beside package.json):\n${problems.map((p) => `  ${p}`).join('\n')}`,
    )
  }
}

/**
 * Reads and checks the settings of a run that uses `needed` stores.
 * Throws one SettingsError that names everything that is wrong.
 */
export function readSettings(
  env: Record<string, string | undefined>,
  needed: readonly StoreName[] = [],
): Settings {
  const { settings, problems } = examineSettings(env, needed)
  if (problems.length > 0) throw new SettingsError(problems)
  return settings
}

/** Every setting's name: what is not among them is read by nothing. */
export function settingNames(): string[] {
  const names = new Set<string>()
  const asked = new Proxy<Record<string, string>>(
    {},
    {
      get(_, name) {
        names.add(String(name))
        return 'x'
      },
    },
  )
  examineSettings(asked)
  return [...names].sort()
}

/**
 * The same as readSettings, for who wants to go on: every problem, beginning with its setting's name, and the settings with a wrong one
 * replaced by what comes nearest.
 */
export function examineSettings(
  env: Record<string, string | undefined>,
  needed: readonly StoreName[] = [],
): { settings: Settings; problems: string[] } {
  const problems: string[] = []
  const text = (name: string): string | undefined => env[name] || undefined
  const secret = (name: string): Secret | undefined => (env[name] ? new Secret(env[name]) : undefined)
  const wrong = (name: string, why: string) => problems.push(`${name} ${why}`)

  function oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
    const value = text(name) ?? fallback
    if ((allowed as readonly string[]).includes(value)) return value as T
    wrong(name, `must be one of ${allowed.join(', ')}; it is ${JSON.stringify(value)}`)
    return fallback
  }

  function folder(name: string, fallback: string): string {
    let value = text(name) ?? fallback
    if (value === '~' || value.startsWith('~/')) value = path.join(homedir(), value.slice(1))
    if (!path.isAbsolute(value)) wrong(name, `must be an absolute path; it is ${JSON.stringify(value)}`)
    return path.resolve('/', value)
  }

  function nfsShare(name: string): string | undefined {
    const value = text(name)
    if (value && !/^[^\s:]+:\/\S*$/.test(value))
      wrong(name, `must be an NFS share as host:/path; it is ${JSON.stringify(value)}`)
    return value
  }

  function objectStore(
    prefix: string,
    endpoint: string | undefined,
    needed: boolean,
  ): ObjectStoreSettings | undefined {
    const [idName, secretName] = [`${prefix}_ACCESS_KEY_ID`, `${prefix}_SECRET_ACCESS_KEY`]
    const id = text(idName)
    const secretKey = secret(secretName)
    if (needed || id || secretKey) {
      if (!id) wrong(idName, `is missing: ${prefix} cannot be used without it`)
      if (!secretKey) wrong(secretName, `is missing: ${prefix} cannot be used without it`)
    }
    if (!endpoint && (id || secretKey))
      wrong(`${prefix}_ENDPOINT`, `is missing: ${prefix} has keys but no address`)
    if (!endpoint) return undefined
    const problem = endpointProblem(endpoint)
    if (problem) wrong(`${prefix}_ENDPOINT`, problem)
    if (!id || !secretKey) return undefined
    return withoutUndefined({
      endpoint: endpoint.replace(/\/$/, ''),
      accessKeyId: id,
      secretAccessKey: secretKey,
      sessionToken: secret(`${prefix}_SESSION_TOKEN`),
      buckets: bucketNames,
    })
  }

  const bucketNames = Object.fromEntries(
    Object.entries(buckets).map(([key, bucket]) => {
      const name = text(bucket.setting) ?? bucket.name
      if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
        wrong(
          bucket.setting,
          `must be a bucket's name (3 to 63 of a-z, 0-9, dot, dash); it is ${JSON.stringify(name)}`,
        )
      }
      return [key, name]
    }),
  ) as Record<BucketName, string>

  const sfsRoot = folder('SFS_ROOT', '/mnt/sfs')
  const verdaSsh = text('VERDA_SSH') ?? 'verda'
  if (verdaSsh.startsWith('-') || /\s/.test(verdaSsh))
    wrong('VERDA_SSH', 'must be a destination for ssh, or local')
  const hetznerEndpoint = text('HETZNER_ENDPOINT')
  const address = text('VERDA_TAILSCALE_IP') ?? '100.89.38.43'
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(address))
    wrong('VERDA_TAILSCALE_IP', `must be an IPv4 address; it is ${JSON.stringify(address)}`)
  const ping = secret('BACKUP_PING_URL')
  if (ping && !/^https?:\/\/[^/]/.test(ping.reveal()))
    wrong('BACKUP_PING_URL', 'must begin with https:// or http://')

  const settings: Settings = {
    environment: oneOf('ENVIRONMENT', ['production', 'staging', 'testing'], 'production'),
    sfs: withoutUndefined({
      root: sfsRoot,
      cache: folder('SFS_CACHE', path.join(sfsRoot, 'cache')),
      requireMount: oneOf('SFS_REQUIRE_MOUNT', ['0', '1'], '1') === '1',
      prod: nfsShare('SFS_PROD'),
      clone: nfsShare('SFS_CLONE'),
      mountOptions: text('SFS_MOUNT_OPTIONS'),
    }),
    melloBackups: folder('MELLO_BACKUPS', '~/backups/verda'),
    verdaSsh,
    roots: { verda: folder('VERDA_ROOT', '/'), mello: folder('MELLO_ROOT', '/') },
    projectDir: {
      verda: folder('PROJECT_DIR', '/home/dev/comfyume-v1'),
      mello: folder('MELLO_PROJECT_DIR', text('PROJECT_DIR') ?? '/home/dev/comfyume-v1'),
    },
    modelsDir: folder('MODELS_DIR', '/mnt/sfs/models'),
    toolkitDir: folder('TOOLKIT_DIR', '/opt/comfyume-backup'),
    userDataHost: oneOf('USER_DATA_HOST', ['mello', 'verda'], 'mello'),
    images: readImages(text('CONTAINER_IMAGES') ?? '', (why) => wrong('CONTAINER_IMAGES', why)),
    tailscale: withoutUndefined({ expectedAddress: address, authKey: secret('TAILSCALE_AUTHKEY') }),
    repositories: withoutUndefined({
      project: text('PROJECT_REPO'),
      scripts: text('SCRIPTS_REPO'),
      credentials: text('CREDENTIALS_REPO'),
    }),
    ...withoutUndefined({
      containerEngine: text('CONTAINER_ENGINE'),
      r2: objectStore('R2', text('R2_ENDPOINT') ?? r2Endpoint, needed.includes('r2')),
      hetzner: objectStore(
        'HETZNER',
        hetznerEndpoint,
        needed.includes('hetzner') || hetznerEndpoint !== undefined,
      ),
      now: readNow(text('BACKUP_NOW'), (why) => wrong('BACKUP_NOW', why)),
      pingUrl: ping,
    }),
  }
  if (needed.includes('hetzner') && !hetznerEndpoint)
    wrong('HETZNER_ENDPOINT', 'is missing: hetzner cannot be used without it')
  return { settings, problems: [...new Set(problems)] }
}

/** The environment of this process over the `.env` file in `folder`, for readSettings. Throws SettingsError for a line that is no setting. */
export function loadEnvironment(folder: string): Record<string, string | undefined> {
  const { environment, problems } = examineEnvironment(folder)
  if (problems.length > 0) throw new SettingsError(problems)
  return environment
}

/** The same for who wants to go on, with the settings that the file itself gives. */
export function examineEnvironment(folder: string): {
  environment: Record<string, string | undefined>
  file: Record<string, string>
  problems: string[]
} {
  let text = ''
  const problems: string[] = []
  try {
    text = readFileSync(path.join(folder, '.env'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      problems.push(`.env in ${folder} cannot be read: ${(error as Error).message}`)
  }
  const file = readDotEnv(text)
  return {
    environment: { ...file.values, ...process.env },
    file: file.values,
    problems: [...problems, ...file.problems],
  }
}

/** R2 answers for a bucket in the EU only at the host with `.eu`, and elsewhere with an error that does not say so (facts, "R2 Buckets"). */
function endpointProblem(endpoint: string): string | undefined {
  let url: URL
  try {
    url = new URL(endpoint)
  } catch {
    // What is cut off or mistyped may hold a password all the same.
    const shown = endpoint.includes('@') ? '' : `; it is ${JSON.stringify(endpoint)}`
    return `must be an address such as ${r2Endpoint}${shown}`
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'must begin with https:// or http://'
  if (url.username || url.password) return 'must not hold a user or a password'
  if (url.pathname !== '/' || url.search) return 'must be a host alone, without a path or a bucket'
  if (
    url.hostname.endsWith('.r2.cloudflarestorage.com') &&
    !url.hostname.endsWith('.eu.r2.cloudflarestorage.com')
  ) {
    return `is without .eu: the buckets lie in the EU and answer only at https://<account>.eu.r2.cloudflarestorage.com`
  }
  return undefined
}

/** `name=reference,…`. A reference to a bare library image (`nginx:alpine`) is not one of ours and is refused. */
function readImages(text: string, wrong: (why: string) => void): Record<string, string> {
  const known = items.filter((item) => item.capture.kind === 'image').map((item) => item.name)
  const images: Record<string, string> = {}
  for (const pair of text.split(',').map((part) => part.trim())) {
    if (pair === '') continue
    const [name = '', reference = ''] = pair.split(/=(.*)/s)
    if (!known.includes(name)) wrong(`names ${JSON.stringify(name)}; the images are ${known.join(', ')}`)
    else if (!/^[a-zA-Z0-9][\w./:@-]*$/.test(reference))
      wrong(`gives ${name} no image reference: ${JSON.stringify(reference)}`)
    else if (isLibraryImage(reference))
      wrong(`gives ${name} the public image ${reference}: name the one that was built for this project`)
    else images[name] = reference
  }
  return images
}

/** An image that anybody can pull and that holds nothing of this project's: no registry or owner of its own, no name of ours. */
export function isLibraryImage(reference: string): boolean {
  const repository = reference.replace(/^(?:docker\.io\/)?(?:library\/)?/, '')
  return !repository.includes('/') && !repository.includes('comfyume')
}

function readNow(text: string | undefined, wrong: (why: string) => void): Date | undefined {
  if (text === undefined) return undefined
  const time = readTime(text)
  if (time === undefined) wrong(`must be a time such as 2026-11-24T03:00:00Z; it is ${JSON.stringify(text)}`)
  return time
}

type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>
}

function withoutUndefined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>
}
