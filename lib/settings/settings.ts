import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import { type BucketName, buckets, type HostName, items, r2Endpoint, type StoreName } from '../inventory.ts'
import { readTime } from '../naming.ts'
import { rates, readRate } from '../text.ts'
import { readDotEnv } from './env-file.ts'
import { Mistake } from './mistake.ts'
import { Secret } from './secret.ts'
import { type Kind, type Setting, type SettingName, table } from './table.ts'

export interface ObjectStoreSettings {
  endpoint: string
  accessKeyId: string
  secretAccessKey: Secret
  /** For temporary credentials. On R2 only these can forbid deletion. */
  sessionToken?: Secret
  buckets: Record<BucketName, string>
}

/** Everything that can differ between two installations, validated. Paths are absolute. */
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
  /** The folder of this toolkit on Verda, which is backed up too. */
  toolkitDir: string
  userDataHost: HostName
  /** Image references by archive name. An image that is not listed is looked up on the host. */
  images: Record<string, string>
  containerEngine?: string
  r2?: ObjectStoreSettings
  hetzner?: ObjectStoreSettings
  tailscale: { expectedAddress: string; authKey?: Secret }
  repositories: { project?: string; scripts?: string; credentials?: string }
  /** Bytes per second. */
  uploadLimit?: number
  /** BACKUP_NOW. Absent: the real time. */
  now?: Date
  pingUrl?: Secret
}

/** A wrong or missing setting. The reason contains no secret. */
export interface SettingProblem {
  /** Its name, or `.env` for the file itself. */
  setting: string
  /** Completes the sentence that starts with the name. */
  why: string
}

/** All wrong or missing settings of a run, without values that may be secret. */
export class SettingsError extends Mistake {
  override name = 'SettingsError'
  override readonly explainedByHelp = false
  constructor(readonly problems: readonly SettingProblem[]) {
    super(
      `wrong settings (environment, or .env next to package.json):\n${problems.map(({ setting, why }) => `  ${setting} ${why}`).join('\n')}`,
    )
  }
}

/** The settings of a run that uses the `needed` stores. Throws one SettingsError with every problem. */
export function readSettings(
  env: Record<string, string | undefined>,
  needed: readonly StoreName[] = [],
): Settings {
  const { settings, problems } = examineSettings(env, needed)
  if (problems.length > 0) throw new SettingsError(problems)
  return settings
}

/** The names of all settings. Nothing reads other names. */
export function settingNames(): string[] {
  return table.map(({ name }) => name).sort()
}

/** As readSettings, but returns the problems and uses the default for a wrong value. */
export function examineSettings(
  env: Record<string, string | undefined>,
  needed: readonly StoreName[] = [],
): { settings: Settings; problems: SettingProblem[] } {
  const { values, problems } = readValues(env)
  const wrong = (setting: SettingName, why: string) => problems.push({ setting, why })
  const secret = (name: SettingName) => (values[name] ? new Secret(values[name]) : undefined)
  const text = (name: SettingName) => values[name] as string
  const bucketNames = Object.fromEntries(
    Object.entries(buckets).map(([key, { setting }]) => [key, text(setting)]),
  ) as Record<BucketName, string>

  function objectStore(prefix: 'R2' | 'HETZNER', isNeeded: boolean): ObjectStoreSettings | undefined {
    const endpoint = values[`${prefix}_ENDPOINT`]
    const id = values[`${prefix}_ACCESS_KEY_ID`]
    const key = secret(`${prefix}_SECRET_ACCESS_KEY`)
    const hasKeys = Boolean(id || key)
    const without = `is missing: ${prefix} cannot be used without it`
    if (!id && (isNeeded || hasKeys)) wrong(`${prefix}_ACCESS_KEY_ID`, without)
    if (!key && (isNeeded || hasKeys)) wrong(`${prefix}_SECRET_ACCESS_KEY`, without)
    if (!endpoint && (isNeeded || hasKeys) && !env[`${prefix}_ENDPOINT`])
      wrong(`${prefix}_ENDPOINT`, hasKeys ? `is missing: ${prefix} has keys but no address` : without)
    if (!endpoint || !id || !key) return undefined
    return {
      endpoint: endpoint.replace(/\/$/, ''),
      accessKeyId: id,
      secretAccessKey: key,
      sessionToken: secret(`${prefix}_SESSION_TOKEN`),
      buckets: bucketNames,
    }
  }

  const settings: Settings = {
    environment: text('ENVIRONMENT') as Settings['environment'],
    sfs: {
      root: text('SFS_ROOT'),
      cache: text('SFS_CACHE'),
      requireMount: text('SFS_REQUIRE_MOUNT') === '1',
      prod: values.SFS_PROD,
      clone: values.SFS_CLONE,
      mountOptions: values.SFS_MOUNT_OPTIONS,
    },
    melloBackups: text('MELLO_BACKUPS'),
    verdaSsh: text('VERDA_SSH'),
    roots: { verda: text('VERDA_ROOT'), mello: text('MELLO_ROOT') },
    projectDir: { verda: text('PROJECT_DIR'), mello: text('MELLO_PROJECT_DIR') },
    modelsDir: text('MODELS_DIR'),
    toolkitDir: text('TOOLKIT_DIR'),
    userDataHost: text('USER_DATA_HOST') as HostName,
    images: Object.fromEntries(imagePairs(values.CONTAINER_IMAGES ?? '')),
    containerEngine: values.CONTAINER_ENGINE,
    r2: objectStore('R2', needed.includes('r2')),
    hetzner: objectStore('HETZNER', needed.includes('hetzner') || Boolean(env.HETZNER_ENDPOINT)),
    tailscale: { expectedAddress: text('VERDA_TAILSCALE_IP'), authKey: secret('TAILSCALE_AUTHKEY') },
    repositories: {
      project: values.PROJECT_REPO,
      scripts: values.SCRIPTS_REPO,
      credentials: values.CREDENTIALS_REPO,
    },
    uploadLimit: values.UPLOAD_LIMIT ? readRate(values.UPLOAD_LIMIT) : undefined,
    now: values.BACKUP_NOW ? readTime(values.BACKUP_NOW) : undefined,
    pingUrl: secret('BACKUP_PING_URL'),
  }
  return { settings, problems }
}

/** The value of each row, or its default if it is missing or wrong. Folders are absolute. */
function readValues(env: Record<string, string | undefined>): {
  values: Record<SettingName, string | undefined>
  problems: SettingProblem[]
} {
  const values = {} as Record<SettingName, string | undefined>
  const problems: SettingProblem[] = []
  for (const row of table as readonly Setting[]) {
    const name = row.name as SettingName
    const given = env[name] || undefined
    const why = given === undefined ? undefined : problemWith(row.kind, given)
    if (why !== undefined) problems.push({ setting: name, why })
    const fallback = row.fallback?.replace(/^\$(\w+)/, (_, other) => values[other as SettingName] ?? '')
    const value = given !== undefined && why === undefined ? given : fallback
    values[name] = row.kind === 'folder' && value !== undefined ? path.resolve(atHome(value)) : value
  }
  return { values, problems }
}

function atHome(folder: string): string {
  return folder === '~' || folder.startsWith('~/') ? path.join(homedir(), folder.slice(1)) : folder
}

/** Why a value does not fit its kind. Undefined when it does. */
function problemWith(kind: Kind, value: string): string | undefined {
  const isSo = `; it is ${JSON.stringify(value)}`
  const unless = (pattern: RegExp, what: string) =>
    pattern.test(value) ? undefined : `must be ${what}${isSo}`
  if (typeof kind === 'object')
    return kind.oneOf.includes(value) ? undefined : `must be one of ${kind.oneOf.join(', ')}${isSo}`
  switch (kind) {
    case 'folder':
      return path.isAbsolute(atHome(value)) ? undefined : `must be an absolute path${isSo}`
    case 'share':
      return unless(/^[^\s:]+:\/\S*$/, 'an NFS share as host:/path')
    case 'ssh destination':
      return value.startsWith('-') || /\s/.test(value) ? 'must be a destination for ssh, or local' : undefined
    case 'address':
      return unless(/^\d{1,3}(\.\d{1,3}){3}$/, 'an IPv4 address')
    case 'endpoint':
      return endpointProblem(value)
    case 'bucket':
      return unless(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, "a bucket's name (3 to 63 of a-z, 0-9, dot, dash)")
    case 'images':
      return imagesProblem(value)
    case 'time':
      return readTime(value) === undefined ? `must be a time such as 2026-11-24T03:00:00Z${isSo}` : undefined
    case 'rate':
      return readRate(value) === undefined ? `must be ${rates}${isSo}` : undefined
    case 'ping':
      return pingUrlProblem(value)
    case 'text':
    case 'secret':
      return undefined
  }
}

/** This process's environment, then `.env` in `folder`. Throws SettingsError for a malformed line. */
export function loadEnvironment(folder: string): Record<string, string | undefined> {
  const { environment, problems } = examineEnvironment(folder)
  if (problems.length > 0) throw new SettingsError(problems)
  return environment
}

/** As loadEnvironment, but returns the problems, and also the file's values alone. */
export function examineEnvironment(folder: string): {
  environment: Record<string, string | undefined>
  file: Record<string, string>
  problems: SettingProblem[]
} {
  let text = ''
  const problems: SettingProblem[] = []
  try {
    text = readFileSync(path.join(folder, '.env'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      problems.push({ setting: '.env', why: `in ${folder} cannot be read: ${(error as Error).message}` })
  }
  const file = readDotEnv(text)
  return {
    environment: { ...file.values, ...process.env },
    file: file.values,
    problems: [
      ...problems,
      ...file.wrongLines.map((line) => ({ setting: '.env', why: `line ${line} is not NAME=value` })),
    ],
  }
}

/** R2 serves EU buckets only at hosts with `.eu`, and its error does not say so (facts, "R2 Buckets"). */
function endpointProblem(endpoint: string): string | undefined {
  let url: URL
  try {
    url = new URL(endpoint)
  } catch {
    // Even a mistyped address may contain a password.
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
    return `lacks .eu: the buckets are in the EU and answer only at https://<account>.eu.r2.cloudflarestorage.com`
  }
  return undefined
}

function pingUrlProblem(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' && url?.protocol !== 'http:') return 'must begin with https:// or http://'
  if (url.username || url.password) return 'must not hold a user or a password'
  return undefined
}

/** `name=reference,…`. Refuses public library images (`nginx:alpine`), which are not ours. */
function imagesProblem(text: string): string | undefined {
  const known = items.filter((item) => item.capture.kind === 'image').map((item) => item.name)
  for (const [name, reference] of imagePairs(text)) {
    if (!known.includes(name)) return `names ${JSON.stringify(name)}; the images are ${known.join(', ')}`
    if (!/^[a-zA-Z0-9][\w./:@-]*$/.test(reference))
      return `gives ${name} no image reference: ${JSON.stringify(reference)}`
    if (isLibraryImage(reference))
      return `gives ${name} the public image ${reference}: name the one that was built for this project`
  }
  return undefined
}

function imagePairs(text: string): [name: string, reference: string][] {
  const pairs = text.split(',').map((part) => part.trim())
  return pairs.filter(Boolean).map((pair) => {
    const [name = '', reference = ''] = pair.split(/=(.*)/s)
    return [name, reference]
  })
}

/** A public image without anything of ours: no registry or owner, and no name of ours. */
export function isLibraryImage(reference: string): boolean {
  const repository = reference.replace(/^(?:docker\.io\/)?(?:library\/)?/, '')
  return !repository.includes('/') && !repository.includes('comfyume')
}
