import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Stock } from '../../demo/stock.ts'
import { buildVerda, leftOut, usersData } from '../../demo/verda.ts'
import { buckets } from '../../lib/inventory.ts'
import { type BareMachine, bareMachine } from '../servers/bare-machine.ts'
import { type Keys, type RealS3, realS3Servers } from '../servers/real-s3.ts'
import { homes, layRepositories, services, shareAddress, toolkitSettings } from './lost-verda-scripts.ts'
import { stockOf } from './machine-stock.ts'
import { layToolkit, toolkitFolder } from './toolkit.ts'

export const images = ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'].map(
  (name) => `comfyume-${name}`,
)
export const models = ['checkpoints/base.safetensors', 'loras/style.safetensors', 'vae/own.safetensors']

/** Everything that a restore brings back to the machine, except the toolkit that runs it. */
export const restoredPaths = [
  '/var/lib/tailscale',
  '/etc/ssh',
  '/etc/fail2ban',
  '/etc/ufw',
  '/etc/nginx',
  '/etc/letsencrypt',
  '/etc/ssl/private',
  '/home/dev',
  '/root',
]

export type LostVerda = Awaited<ReturnType<typeof lostVerda>>

/**
 * A Verda that ran, backed itself up with the toolkit's commands, and is gone. It left the share, Mello's
 * folder, the repositories and, if asked, the buckets of a real S3 server. Needs root.
 */
export async function lostVerda({ away = false } = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), 'lost-verda-'))
  const at = (name: string) => path.join(folder, name)
  for (const name of ['sfs/cache', 'sfs/models', 'mello/backups', 'git'])
    mkdirSync(at(name), { recursive: true })
  for (const [index, name] of models.entries()) {
    mkdirSync(path.dirname(at(`sfs/models/${name}`)), { recursive: true })
    writeFileSync(at(`sfs/models/${name}`), randomBytes(300_000 + index))
  }
  layRepositories(at('git'))
  for (const name of ['workflows', 'inputs', 'user_data', 'outputs']) {
    mkdirSync(at(`mello/root${usersData}/${name}/user001`), { recursive: true })
    writeFileSync(at(`mello/root${usersData}/${name}/user001/file`), `${name} of user001\n`)
  }
  cpSync(at('git/credentials/.env'), at(`mello/root${path.dirname(usersData)}/.env`))
  cpSync(at('git/credentials/nginx'), at(`mello/root${path.dirname(usersData)}/nginx`), { recursive: true })
  const s3 = away ? await realS3Servers.MinIO?.(Object.values(buckets).map(({ name }) => name)) : undefined
  const verda = await bareMachine()
  try {
    const before = await setUp(verda, folder)
    await backUp(verda, s3)
    return { ...world(folder, s3), before }
  } finally {
    await verda.dispose()
  }
}

function world(folder: string, s3: RealS3 | undefined) {
  const machines: BareMachine[] = []
  const share = path.join(folder, 'sfs')
  return {
    folder,
    /** The share's folder on its server. */
    share,
    cache: path.join(share, 'cache'),
    mello: path.join(folder, 'mello/backups'),
    s3: s3 as RealS3,
    /** A rented machine with docker and access to the share, or to a copy that a test may damage. */
    async newMachine({ granted = share as string | false, installed = ['docker.io', 'nfs-common'] } = {}) {
      const machine = await bareMachine()
      machines.push(machine)
      await machine.addShims({ installed })
      if (granted) machine.grant(shareAddress, granted)
      machine.mount(path.join(folder, 'git'), '/srv/git')
      return machine
    },
    /** A separate copy of the share. */
    copyOfShare(): string {
      const copy = mkdtempSync(path.join(folder, 'share-'))
      cpSync(share, copy, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true })
      return copy
    },
    async dispose() {
      for (const machine of machines) await machine.dispose()
      await s3?.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Sets up a running Verda; returns its stock before the backup. */
async function setUp(verda: BareMachine, folder: string): Promise<Stock> {
  await verda.addShims({ installed: ['docker.io', 'nfs-common'] })
  verda.mount(path.join(folder, 'sfs'), '/mnt/sfs')
  verda.mount(path.join(folder, 'mello'), '/srv/mello')
  verda.mount(path.join(folder, 'git'), '/srv/git')
  const files = path.join(folder, 'verda')
  await buildVerda(files)
  // Real ones replace these.
  for (const name of ['etc/ssh', 'etc/fail2ban', 'etc/ufw', 'var/lib/tailscale', 'opt'])
    rmSync(path.join(files, name), { recursive: true })
  layToolkit(path.join(files, toolkitFolder))
  writeFileSync(path.join(files, toolkitFolder, '.env'), toolkitSettings, { mode: 0o600 })
  execFileSync('tar', ['-C', files, '--sparse', '-cf', path.join(folder, 'git/verda.tar'), '.'])
  await verda.do(`useradd -u 1000 -m -s /usr/bin/zsh -G sudo,docker dev
    tar --extract --file /srv/git/verda.tar --directory / --preserve-permissions --no-overwrite-dir`)
  for (const name of [files, path.join(folder, 'git/verda.tar')]) rmSync(name, { recursive: true })
  await verda.do(homes)
  await verda.do(services)
  for (const name of images) await verda.do('docker load', { input: imageOf(folder, name) })
  return stockOf(verda, restoredPaths, { whole: leftOut })
}

/** Stores every item in every store, as cron and the two manual scripts do. */
async function backUp(verda: BareMachine, s3: RealS3 | undefined): Promise<void> {
  const toolkit = async (command: string, env: Record<string, string> = {}) => {
    const said = await verda.do(
      `PATH=${toolkitFolder}/bin:$PATH ${toolkitFolder}/node_modules/.bin/tsx ${toolkitFolder}/scripts/${command}`,
      { env },
    )
    if (!/^\S+ OK backup-/m.test(said)) throw new Error(said)
  }
  await toolkit('backup-cron.ts --only config,scripts,containers')
  if (s3 === undefined) return
  await verda.reach(Number(new URL(s3.endpoint).port))
  const env = {
    ...accessTo(s3, s3.withoutDelete),
    VERDA_SSH: 'local',
    MELLO_ROOT: '/srv/mello/root',
    MELLO_BACKUPS: '/srv/mello/backups',
  }
  await toolkit('backup-verda.ts', env)
  await toolkit('backup-verda.ts --only scripts', env)
  await toolkit('backup-mello.ts', env)
}

/** Settings that reach this server. */
export function accessTo({ endpoint }: RealS3, keys: Keys): Record<string, string> {
  return {
    R2_ENDPOINT: endpoint,
    R2_ACCESS_KEY_ID: keys.accessKeyId,
    R2_SECRET_ACCESS_KEY: keys.secretAccessKey,
    ...(keys.sessionToken ? { R2_SESSION_TOKEN: keys.sessionToken } : {}),
  }
}

/** As `docker save` writes one. */
function imageOf(folder: string, name: string): Buffer {
  const content = mkdtempSync(path.join(folder, 'image-'))
  const manifest = [{ Config: 'config.json', RepoTags: [`${name}:latest`], Layers: ['layer.tar'] }]
  writeFileSync(path.join(content, 'config.json'), JSON.stringify({ name }))
  writeFileSync(path.join(content, 'layer.tar'), randomBytes(400_000))
  writeFileSync(path.join(content, 'manifest.json'), JSON.stringify(manifest))
  try {
    return execFileSync('tar', ['-C', content, '-c', 'config.json', 'layer.tar', 'manifest.json'])
  } finally {
    rmSync(content, { recursive: true })
  }
}
