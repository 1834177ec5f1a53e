import type { StampUnit } from './naming.ts'
import type { KeepRule } from './retention.ts'

/**
 * The specification as data: what is backed up, from where, to where, when, for how long, and how it comes back.
 * Everything else derives from these tables; adding an item, a bucket or a store is one entry here.
 * Paths may begin with $PROJECT_DIR, $MELLO_PROJECT_DIR, $MODELS_DIR or $TOOLKIT_DIR, which plan.ts fills in.
 */

export type HostName = 'verda' | 'mello'
export type StoreName = keyof typeof stores
export type BucketName = keyof typeof buckets
export type CommandName = 'backup-cron' | 'backup-verda' | 'backup-mello'

/** Hours of the day in UTC, or every hour. */
export type Hours = 'every' | readonly number[]

/** Where archives rest. Only a store that says `rotates` ever loses one. */
export const stores = {
  sfs: { title: 'SFS cache', kind: 'directory', rotates: true },
  mello: { title: 'Mello', kind: 'directory', rotates: false },
  r2: { title: 'Cloudflare R2', kind: 'object', rotates: false },
  hetzner: { title: 'Hetzner Object Storage', kind: 'object', rotates: false, follows: 'r2' },
} as const satisfies Record<
  string,
  { title: string; kind: 'directory' | 'object'; rotates: boolean; follows?: string }
>

/** When a bucket's items reach a store, and which copies its rule keeps there (on append-only stores: would keep). */
export interface StorePolicy {
  hours: Hours | 'on addition'
  keep: KeepRule | 'all'
}

export interface Bucket {
  name: string
  setting: string
  holds: string
  /** Folder of its archives, in the bucket and on SFS. */
  folder: string
  /** What the first archive of a period is named by; `file` keeps the original file names. */
  stamp: StampUnit | 'file'
  sfs?: StorePolicy
  r2: StorePolicy
}

const fiveThreeThree = { daily: 5, weekly: 3, monthly: 3 }

/** The four buckets on object storage, with the part of them that SFS caches. */
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
  /** A required source that is missing fails its item; an optional one is left out. */
  required: boolean
  /** Paths from the host's root, or shell patterns in which `*` also matches `/`, that are left out. */
  exclude?: readonly string[]
  /** Also leaves out what other items of this host capture, and archives that a restore staged here. */
  withoutOtherItems?: boolean
  /** Shell patterns; an archive in which one of them matches no member is not a backup. */
  mustHave?: readonly string[]
  /** Restored as a whole: what lies there and is not in the archive is put aside, because it would be in force as well. */
  whole?: true
}

export type CaptureKind =
  | { kind: 'files'; sources: readonly Source[] }
  | { kind: 'image' }
  | { kind: 'models'; path: string; folders: readonly string[]; extension: string }
  | { kind: 'repository'; sources: readonly Source[] }

/** How one command treats an item: where it sends it, and whether it does so unasked. */
export interface Run {
  to: readonly StoreName[]
  /** `default`: unless --only says otherwise; `not quick`: the same, but --quick leaves it out; `by name`: only when asked for. */
  when: 'default' | 'not quick' | 'by name'
}

export type Group = 'config' | 'containers' | 'models' | 'user-data' | 'credentials'

/** Where restore may look; `root` is the new instance's own /root/, `git` the item's repository. */
export type RestoreSource = 'root' | StoreName | 'git'

export interface Item {
  name: string
  title: string
  group?: Group
  /** `user data`: whichever host USER_DATA_HOST names. */
  host: HostName | 'user data'
  capture: CaptureKind
  /** Absent where a git repository is the only store. */
  bucket?: BucketName
  /** In the place of the bucket's own folder. */
  folder?: string
  commands: Partial<Record<CommandName, Run>>
  /** The order in which restore looks (facts, "Restore Priority"). */
  restore: readonly RestoreSource[]
  /** What only this machine may have: left out when a production backup is restored elsewhere. */
  identity?: boolean
  /**
   * Written to by the users of the workshop. A member that no backup should hold is left out and named when it is restored, where another item's whole archive is
   * refused: or any of them could make every copy worthless with one link. Nothing in it comes back with more rights than a file of theirs.
   */
  usersOwn?: true
}

const caches = ['*/.cache', '*/.npm', '*/node_modules', '*/__pycache__', '*/.local/share/Trash']
const fromConfig: readonly RestoreSource[] = ['root', 'sfs', 'r2', 'hetzner', 'mello']

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

/** Too large for every hour's default run: the crontab asks for these by name. */
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
} as const satisfies Partial<Item>

export const items: readonly Item[] = [
  {
    ...config,
    name: 'tailscale',
    title: 'Tailscale identity',
    identity: true,
    capture: {
      kind: 'files',
      sources: [
        { path: '/var/lib/tailscale', required: true, whole: true, mustHave: ['*/tailscaled.state'] },
      ],
    },
  },
  {
    ...config,
    name: 'ssh-host-keys',
    title: 'SSH host keys',
    identity: true,
    capture: {
      kind: 'files',
      sources: [{ path: '/etc/ssh', match: 'ssh_host_*', required: true, mustHave: ['*/ssh_host_*_key'] }],
    },
  },
  {
    ...config,
    name: 'fail2ban',
    title: 'Fail2ban jails',
    capture: { kind: 'files', sources: [{ path: '/etc/fail2ban', required: true, whole: true }] },
  },
  {
    ...config,
    name: 'ufw',
    title: 'UFW firewall',
    capture: { kind: 'files', sources: [{ path: '/etc/ufw', required: true, whole: true }] },
  },
  {
    ...config,
    name: 'nginx',
    title: 'nginx on the host',
    capture: { kind: 'files', sources: [{ path: '/etc/nginx', required: false, whole: true }] },
  },
  {
    ...config,
    name: 'ssl',
    title: 'TLS certificates',
    capture: {
      kind: 'files',
      sources: [
        { path: '/etc/letsencrypt', required: false, whole: true },
        { path: '/etc/ssl/private', required: false },
      ],
    },
  },
  {
    ...config,
    name: 'env',
    title: 'Project .env',
    capture: { kind: 'files', sources: [{ path: '$PROJECT_DIR/.env', required: true }] },
  },
  {
    ...config,
    ...byName,
    name: 'home-dev',
    title: '/home/dev',
    capture: {
      kind: 'files',
      sources: [{ path: '/home/dev', required: true, exclude: caches, withoutOtherItems: true }],
    },
  },
  {
    ...config,
    ...byName,
    name: 'root-home',
    title: '/root',
    capture: {
      kind: 'files',
      sources: [{ path: '/root', required: true, exclude: caches, withoutOtherItems: true }],
    },
  },
  {
    ...inCache,
    ...byName,
    name: 'scripts',
    title: 'This toolkit, with its dependencies and the Node runtime in its bin',
    folder: '',
    restore: ['root', 'sfs', 'git', 'r2', 'hetzner', 'mello'],
    capture: {
      kind: 'files',
      sources: [
        {
          path: '$TOOLKIT_DIR',
          required: false,
          exclude: ['*/.git', '*/node_modules/.cache'],
          mustHave: ['*/package.json', '*/bin/node'],
        },
      ],
    },
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
    capture: {
      kind: 'files',
      sources: [
        { path: '$MELLO_PROJECT_DIR/data/workflows', required: true },
        { path: '$MELLO_PROJECT_DIR/data/inputs', required: true },
        { path: '$MELLO_PROJECT_DIR/data/user_data', required: true },
        { path: '$MELLO_PROJECT_DIR/data/custom_nodes', required: false, exclude: caches },
        { path: '$MELLO_PROJECT_DIR/custom_nodes', required: false, exclude: caches },
      ],
    },
    commands: { 'backup-mello': { to: ['r2'], when: 'default' } },
  },
  {
    ...userFiles,
    name: 'user-outputs',
    title: 'Outputs of the users',
    capture: {
      kind: 'files',
      sources: [{ path: '$MELLO_PROJECT_DIR/data/outputs', required: true }],
    },
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

/** What lies below a backup's commands: the hosts' assets whose loss is a disaster (facts, "Disaster Recovery"). */
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

/** On a host that a restore has begun and not finished, below its root: while this file is there, nothing is captured. */
export const restoringMarker = '/var/lib/comfyume-backup/restoring'

/** Days for which run reports stay on a store that rotates. */
export const runReportDays = 90
