import { type BucketName, buckets, r2Endpoint } from '../inventory.ts'

/** The kinds of value. settings.ts checks them. */
export type Kind =
  | { oneOf: readonly string[] }
  | 'folder'
  | 'share'
  | 'ssh destination'
  | 'address'
  | 'endpoint'
  | 'bucket'
  | 'images'
  | 'time'
  | 'rate'
  | 'ping'
  | 'text'
  | 'secret'

/** One variable. Reading, doctor, --help, .env.example and the reference all use this row. */
export interface Setting {
  name: string
  kind: Kind
  /** As written in `.env`. A leading `$NAME` is the value of an earlier row. */
  fallback?: string
  /** One line for people. */
  says: string
}

const row = <const Name extends string>(name: Name, kind: Kind, says: string, fallback?: string) =>
  ({ name, kind, says, fallback }) satisfies Setting

const bucket = <Key extends BucketName>(key: Key, holds: string) =>
  row(
    buckets[key].setting as (typeof buckets)[Key]['setting'],
    'bucket',
    `the bucket of ${holds}`,
    buckets[key].name,
  )

const keysOf = <const Store extends string>(store: Store, title: string) => [
  row(`${store}_ACCESS_KEY_ID`, 'text', `the key of ${title}`),
  row(`${store}_SECRET_ACCESS_KEY`, 'secret', 'its secret'),
  row(`${store}_SESSION_TOKEN`, 'secret', `the session token of temporary credentials of ${title}`),
]

/** Every setting, in reading order. */
export const table = [
  row(
    'ENVIRONMENT',
    { oneOf: ['production', 'staging', 'testing'] },
    'which installation this is: production, staging or testing',
    'production',
  ),
  row('SFS_ROOT', 'folder', 'where the share is mounted', '/mnt/sfs'),
  row('SFS_CACHE', 'folder', 'the folder of the backups on the share', '$SFS_ROOT/cache'),
  row('SFS_REQUIRE_MOUNT', { oneOf: ['0', '1'] }, '1: SFS_ROOT must be a mount point; 0 is for drills', '1'),
  row('SFS_PROD', 'share', 'the NFS host:/path of PROD_SFS, for restore'),
  row('SFS_CLONE', 'share', 'the NFS host:/path of CLONE_SFS, for restore'),
  row('SFS_MOUNT_OPTIONS', 'text', 'the mount options of both'),
  row('MELLO_BACKUPS', 'folder', 'the folder of the copies on Mello', '~/backups/verda'),
  row('VERDA_SSH', 'ssh destination', 'how ssh reaches Verda from Mello; local means this machine', 'verda'),
  row('VERDA_ROOT', 'folder', "the folder under which Verda's sources are; another one for drills", '/'),
  row('MELLO_ROOT', 'folder', 'the same for Mello', '/'),
  row('PROJECT_DIR', 'folder', 'the project on Verda, below VERDA_ROOT', '/home/dev/comfyume-v1'),
  row('MELLO_PROJECT_DIR', 'folder', 'the project on Mello, below MELLO_ROOT', '$PROJECT_DIR'),
  row('MODELS_DIR', 'folder', 'the models, below VERDA_ROOT', '/mnt/sfs/models'),
  row('TOOLKIT_DIR', 'folder', 'this toolkit on Verda, below VERDA_ROOT', '/opt/comfyume-backup'),
  row(
    'USER_DATA_HOST',
    { oneOf: ['mello', 'verda'] },
    "the host of the users' files: mello or verda",
    'mello',
  ),
  row(
    'CONTAINER_IMAGES',
    'images',
    'name=reference,…; by default what the running container uses, else <name>:latest',
  ),
  row('CONTAINER_ENGINE', 'text', 'the container engine; by default docker, else podman'),
  row('R2_ENDPOINT', 'endpoint', 'the address of R2; on Cloudflare only with .eu', r2Endpoint),
  ...keysOf('R2', 'R2'),
  bucket('cache', 'configuration, homes, the toolkit and run reports'),
  bucket('models', 'models'),
  bucket('containers', 'container images'),
  bucket('user-files', "the users' files"),
  row('HETZNER_ENDPOINT', 'endpoint', 'the address of Hetzner; once set, what goes to R2 goes there too'),
  ...keysOf('HETZNER', 'Hetzner'),
  row('VERDA_TAILSCALE_IP', 'address', 'the address that Verda must have', '100.89.38.43'),
  row(
    'TAILSCALE_AUTHKEY',
    'secret',
    'a reusable auth key, for a machine whose tailscale state is lost or expired',
  ),
  row('PROJECT_REPO', 'text', "the project's git address, for restore"),
  row('SCRIPTS_REPO', 'text', "this toolkit's git address, for restore and update"),
  row(
    'CREDENTIALS_REPO',
    'text',
    'the private git repository of the credentials; without it they are skipped',
  ),
  row(
    'UPLOAD_LIMIT',
    'rate',
    'the most bytes a second that all uploads to object storage may use together, for instance 20M',
  ),
  row('BACKUP_NOW', 'time', 'an ISO time to use as the current time, for drills'),
  row(
    'BACKUP_PING_URL',
    'ping',
    'the base address of checks at healthchecks.io, one for each line of cron; see comfyume-backup doctor --only ping',
  ),
]

export type SettingName = (typeof table)[number]['name']
