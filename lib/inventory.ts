import type { StampUnit } from './naming.ts'
import type { KeepRule } from './retention.ts'

/**
 * The specification as data: what is backed up, from where, to where, when, how long, and how it comes back.
 * Everything else derives from these tables: an item, bucket or store is added only here. Paths may begin
 * with $PROJECT_DIR, $MELLO_PROJECT_DIR, $MODELS_DIR or $TOOLKIT_DIR, which plan.ts fills in.
 */

export type HostName = 'verda' | 'mello'
export type StoreName = keyof typeof stores
export type BucketName = keyof typeof buckets
export type CommandName = 'backup-cron' | 'backup-verda' | 'backup-mello'

/** Hours of the day in UTC, or every hour. */
export type Hours = 'every' | readonly number[]

/** Where archives are kept. Only a store with `rotates` ever loses one. */
export const stores = {
  sfs: { title: 'SFS cache', kind: 'directory', rotates: true },
  mello: { title: 'Mello', kind: 'directory', rotates: false },
  r2: { title: 'Cloudflare R2', kind: 'object', rotates: false },
  hetzner: { title: 'Hetzner Object Storage', kind: 'object', rotates: false, follows: 'r2' },
} as const satisfies Record<
  string,
  { title: string; kind: 'directory' | 'object'; rotates: boolean; follows?: string }
>

/** When a bucket's items reach a store, and which copies its rule keeps (append-only stores keep all). */
export interface StorePolicy {
  hours: Hours | 'on addition'
  keep: KeepRule | 'all'
}

export interface Bucket {
  name: string
  setting: string
  holds: string
  /** The folder of its archives, in the bucket and on SFS. */
  folder: string
  /** The unit in the name of a period's first archive; `file` keeps the original file names. */
  stamp: StampUnit | 'file'
  sfs?: StorePolicy
  r2: StorePolicy
}

const fiveThreeThree = { daily: 5, weekly: 3, monthly: 3 }

/** The four buckets on object storage, and which part of them SFS caches. */
export const buckets = {
  cache: {
    name: 'comfyume-cache-backups',
    setting: 'R2_CACHE_BUCKET',
    holds: 'configuration and homes, about 6.5 GB',
    folder: 'config/',
    stamp: 'day',
    sfs: { hours: 'every', keep: fiveThreeThree },
    r2: { hours: [2, 6, 14, 18], keep: fiveThreeThree },
  },
  models: {
    name: 'comfyume-model-vault-backups',
    setting: 'R2_MODELS_BUCKET',
    holds: 'models, about 192 GB in 28 files',
    folder: '',
    stamp: 'file',
    r2: { hours: 'on addition', keep: 'all' },
  },
  containers: {
    name: 'comfyume-worker-container-backups',
    setting: 'R2_WORKER_CONTAINER_TAR_BALL_BUCKET',
    holds: 'container images, about 20 GB',
    folder: '',
    stamp: 'day',
    sfs: { hours: [3], keep: { daily: 1, monthly: 1 } },
    r2: { hours: [4], keep: { daily: 1, weekly: 3, monthly: 3 } },
  },
  'user-files': {
    name: 'comfyume-user-files-backups',
    setting: 'R2_USER_FILES_BUCKET',
    holds: 'workflows, inputs, outputs and custom nodes of the users',
    folder: '',
    stamp: 'hour',
    r2: { hours: 'every', keep: fiveThreeThree },
  },
} as const satisfies Record<string, Bucket>

export const r2Endpoint = 'https://f1d627b48ef7a4f687d6ac469c8f1dea.eu.r2.cloudflarestorage.com'

/** A file or folder on a host, by its path below the host's root. */
export interface Source {
  path: string
  /** Only entries of `path` whose name matches this shell pattern. */
  match?: string
  /** A missing required source fails its item; a missing optional one is skipped. */
  required: boolean
  /** Paths from the host's root, or shell patterns whose `*` also matches `/`, to leave out. */
  exclude?: readonly string[]
  /** Also leaves out what other items of this host capture, and archives that a restore staged here. */
  withoutOtherItems?: boolean
  /** Shell patterns; each must match a member, or the archive is no backup. */
  mustHave?: readonly string[]
  /** Files below `path` whose content decides whether the item is valid; see acceptance.ts. */
  keystones?: readonly { file: string; kind: 'tailscale identity' }[]
  /** Required, but empty in a workshop that has just opened. */
  mayBeEmpty?: true
  /** Restored as a whole: files that are not in the archive are moved aside, or they would stay in force. */
  whole?: true
}

export type CaptureKind =
  | { kind: 'files'; sources: readonly Source[] }
  | { kind: 'image' }
  | { kind: 'models'; path: string; folders: readonly string[]; extension: string }
  | { kind: 'repository'; sources: readonly Source[] }

/** How one command treats an item: which stores get it, and whether it runs by default. */
export interface Run {
  to: readonly StoreName[]
  /** `default`: unless --only excludes it; `not quick`: also not with --quick; `by name`: only on request. */
  when: 'default' | 'not quick' | 'by name'
}

export type Group = 'config' | 'containers' | 'models' | 'user-data' | 'credentials'

/** Where restore may look; `root` is the new instance's own /root/, `git` the item's repository. */
export type RestoreSource = 'root' | StoreName | 'git'

export interface Item {
  name: string
  title: string
  group?: Group
  /** `user data`: the host in USER_DATA_HOST. */
  host: HostName | 'user data'
  capture: CaptureKind
  /** Absent where a git repository is the only store. */
  bucket?: BucketName
  /** Instead of the bucket's own folder. */
  folder?: string
  commands: Partial<Record<CommandName, Run>>
  /** The order in which restore looks (facts, "Restore Priority"). */
  restore: readonly RestoreSource[]
  /** Large, with few changes: where nothing rotates, stored whole once a week, with increments between. */
  increments?: true
  /** No restore can start without it, so a shutdown is not safe while it is missing. */
  essential?: true
  /** Unique to this machine: left out when a production backup is restored elsewhere. */
  identity?: boolean
  /**
   * Workshop users write to it. A forbidden member is left out by name, where another item's archive is
   * refused whole: else one user's link could spoil every copy. Nothing in it gets more rights than its user
   * has.
   */
  usersOwn?: true
}

const caches = ['*/.cache', '*/.npm', '*/node_modules', '*/__pycache__', '*/.local/share/Trash']
const fromConfig: readonly RestoreSource[] = ['root', 'sfs', 'r2', 'hetzner', 'mello']

/** What packages put into /etc/ssl. */
const certificatesOfSystem = [
  '/etc/ssl/openssl.cnf',
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/ssl/certs/java',
  '/etc/ssl/certs/*.[0-9]',
]

const inCache = {
  host: 'verda',
  bucket: 'cache',
  restore: fromConfig,
  commands: {
    'backup-cron': { to: ['sfs'], when: 'default' },
    'backup-verda': { to: ['mello', 'r2'], when: 'default' },
  },
} as const satisfies Partial<Item>

const config = { ...inCache, group: 'config' } as const satisfies Partial<Item>

/** Too large for the hourly default run: the crontab names these. */
const byName = {
  commands: { ...inCache.commands, 'backup-cron': { to: ['sfs'], when: 'by name' } },
} as const satisfies Partial<Item>

const image = {
  group: 'containers',
  host: 'verda',
  capture: { kind: 'image' },
  bucket: 'containers',
  restore: fromConfig,
  commands: {
    'backup-cron': { to: ['sfs'], when: 'by name' },
    'backup-verda': { to: ['mello', 'r2'], when: 'not quick' },
  },
} as const satisfies Partial<Item>

const userFiles = {
  group: 'user-data',
  host: 'user data',
  bucket: 'user-files',
  restore: ['r2', 'hetzner'],
  usersOwn: true,
  increments: true,
} as const satisfies Partial<Item>

function files(...sources: Source[]): CaptureKind {
  return { kind: 'files', sources }
}

export const items: readonly Item[] = [
  {
    ...config,
    name: 'tailscale',
    title: 'Tailscale identity',
    identity: true,
    capture: files(
      {
        path: '/var/lib/tailscale',
        required: true,
        whole: true,
        mustHave: ['*/tailscaled.state'],
        keystones: [{ file: 'tailscaled.state', kind: 'tailscale identity' }],
      },
      // tailscaled's flags, such as whether the state is sealed.
      { path: '/etc/default/tailscaled', required: false },
    ),
  },
  {
    ...config,
    name: 'ssh-host-keys',
    title: 'SSH host keys',
    identity: true,
    capture: files({ path: '/etc/ssh', match: 'ssh_host_*', required: true, mustHave: ['*/ssh_host_*_key'] }),
  },
  {
    ...config,
    name: 'fail2ban',
    title: 'Fail2ban jails',
    capture: files({ path: '/etc/fail2ban', required: true, whole: true }),
  },
  {
    ...config,
    name: 'ufw',
    title: 'UFW firewall',
    capture: files(
      { path: '/etc/ufw', required: true, whole: true },
      // The default policies.
      { path: '/etc/default/ufw', required: false },
    ),
  },
  {
    ...config,
    name: 'nginx',
    title: 'nginx on the host',
    capture: files({ path: '/etc/nginx', required: false, whole: true }),
  },
  {
    ...config,
    name: 'ssl',
    title: 'TLS certificates',
    capture: files(
      { path: '/etc/letsencrypt', required: false, whole: true },
      { path: '/etc/ssl', required: false, exclude: certificatesOfSystem },
    ),
  },
  {
    ...config,
    name: 'env',
    title: 'Project .env',
    capture: files({ path: '$PROJECT_DIR/.env', required: true }),
  },
  {
    ...config,
    ...byName,
    name: 'home-dev',
    increments: true,
    title: '/home/dev',
    capture: files({ path: '/home/dev', required: true, exclude: caches, withoutOtherItems: true }),
  },
  {
    ...config,
    ...byName,
    name: 'root-home',
    increments: true,
    title: '/root',
    capture: files({ path: '/root', required: true, exclude: caches, withoutOtherItems: true }),
  },
  {
    ...inCache,
    ...byName,
    name: 'scripts',
    essential: true,
    title: 'This toolkit, with its dependencies and the Node runtime in its bin',
    folder: '',
    restore: ['root', 'sfs', 'git', 'r2', 'hetzner', 'mello'],
    capture: files({
      path: '$TOOLKIT_DIR',
      required: false,
      exclude: ['*/.git', '*/node_modules/.cache'],
      mustHave: ['*/package.json', '*/bin/node'],
    }),
  },
  { ...image, name: 'comfyume-frontend', title: 'Image of the frontend' },
  { ...image, name: 'comfyume-worker', title: 'Image of the GPU worker' },
  { ...image, name: 'comfyume-queue-manager', title: 'Image of the queue manager' },
  { ...image, name: 'comfyume-nginx', title: 'Image of nginx' },
  { ...image, name: 'comfyume-admin', title: 'Image of the admin panel' },
  {
    name: 'models',
    title: 'Models',
    group: 'models',
    host: 'verda',
    capture: {
      kind: 'models',
      path: '$MODELS_DIR',
      folders: ['checkpoints', 'diffusion_models', 'controlnet', 'loras', 'text_encoders', 'vae'],
      extension: '.safetensors',
    },
    bucket: 'models',
    restore: ['sfs', 'r2', 'hetzner'],
    commands: { 'backup-verda': { to: ['r2'], when: 'not quick' } },
  },
  {
    ...userFiles,
    name: 'user-data',
    title: 'Workflows, inputs, user data and custom nodes',
    capture: files(
      { path: '$MELLO_PROJECT_DIR/data/workflows', required: true },
      { path: '$MELLO_PROJECT_DIR/data/inputs', required: true, mayBeEmpty: true },
      { path: '$MELLO_PROJECT_DIR/data/user_data', required: true, mayBeEmpty: true },
      { path: '$MELLO_PROJECT_DIR/data/custom_nodes', required: false, exclude: caches },
      { path: '$MELLO_PROJECT_DIR/custom_nodes', required: false, exclude: caches },
    ),
    commands: { 'backup-mello': { to: ['r2'], when: 'default' } },
  },
  {
    ...userFiles,
    name: 'user-outputs',
    title: 'Outputs of the users',
    capture: files({ path: '$MELLO_PROJECT_DIR/data/outputs', required: true }),
    commands: { 'backup-mello': { to: ['r2'], when: 'not quick' } },
  },
  {
    name: 'credentials',
    title: 'Credentials of the users',
    group: 'credentials',
    host: 'mello',
    capture: {
      kind: 'repository',
      sources: [
        { path: '$MELLO_PROJECT_DIR/.env', required: true },
        { path: '$MELLO_PROJECT_DIR/nginx/.htpasswd', required: true },
      ],
    },
    restore: ['git'],
    commands: { 'backup-mello': { to: [], when: 'default' } },
  },
]

/** Whether a command backs something up. */
export function isCommand(name: string | undefined): name is CommandName {
  return items.some(({ commands }) => name !== undefined && name in commands)
}

/** The assets whose loss is a disaster (facts, "Disaster Recovery"). */
export const disasterRecovery = [
  {
    asset: 'PROD_OS',
    backup: 'BACKUP_2026-02-16-PROD_OS-hiq7F8JM (block volume 009)',
    location: 'FIN-01, 100 GB, detached',
  },
  { asset: 'Models', backup: 'PROD_SFS, CLONE_SFS, R2', location: '3 copies', copies: 3 },
  { asset: 'Config', backup: 'SFS cache, R2, Mello', location: '3 copies', copies: 3 },
  { asset: 'Code', backup: 'GitHub (comfyume-v1, comfymulti-scripts)', location: 'cloud' },
] as const

/** Below the root of a host with an unfinished restore: while this file exists, nothing is captured. */
export const restoringMarker = '/var/lib/comfyume-backup/restoring'

/** How many days run reports stay on a store that rotates. */
export const runReportDays = 90
