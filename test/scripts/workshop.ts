import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { buckets } from '../../lib/inventory.ts'
import { type S3Server, startS3Server } from '../servers/s3-server.ts'
import { buildVerda, type Run, settle } from './verda.ts'

const bucketNames = Object.values(buckets).map(({ name }) => name)
export const [cacheBucket, modelsBucket, containersBucket, userFilesBucket] = bucketNames as [
  string,
  string,
  string,
  string,
]

export type Workshop = Awaited<ReturnType<typeof buildWorkshop>>

/**
 * Verda, Mello and object stores in a temporary folder. Verda is `local`, its engine a script that saves tars
 * of `images/`; users' files and credentials are on Mello; R2 (and Hetzner on request) are S3 servers of this
 * process. `copyOf`: a saved workshop's folder.
 */
export async function buildWorkshop({
  hetzner = false,
  copyOf,
}: {
  hetzner?: boolean
  copyOf?: string
} = {}) {
  const verda = buildVerda({ copyOf })
  const mello = path.join(verda.folder, 'mello')
  const backups = path.join(verda.folder, 'backups')
  const repository = path.join(verda.folder, 'credentials.git')
  const saved = copyOf !== undefined
  const servers: { r2: S3Server; hetzner?: S3Server } = {
    r2: await startS3Server({ folder: path.join(verda.folder, 'r2'), buckets: bucketNames, saved }),
  }
  if (hetzner)
    servers.hetzner = await startS3Server({
      folder: path.join(verda.folder, 'hetzner'),
      buckets: bucketNames,
    })
  if (!saved) execFileSync('git', ['init', '--quiet', '--bare', repository])
  Object.assign(verda.settings, {
    VERDA_SSH: 'local',
    MELLO_ROOT: mello,
    MELLO_BACKUPS: backups,
    CREDENTIALS_REPO: repository,
    CONTAINER_ENGINE: fakeEngine(verda.folder),
    ...accessTo('R2', servers.r2),
    ...(servers.hetzner ? accessTo('HETZNER', servers.hetzner) : {}),
  })

  const workshop = {
    verda,
    mello,
    backups,
    repository,
    servers,
    r2: servers.r2,
    /** Writes a file below Mello's root. */
    write(file: string, content: string | Buffer) {
      const target = path.join(mello, file)
      mkdirSync(path.dirname(target), { recursive: true })
      writeFileSync(target, content)
    },
    writeModel: (name: string, content: string | Buffer) => verda.write(`mnt/sfs/models/${name}`, content),
    backupVerda: (args: string[] = [], env: Record<string, string> = {}) =>
      verda.script('backup-verda', args, { env }),
    backupMello: (args: string[] = [], env: Record<string, string> = {}) =>
      verda.script('backup-mello', args, { env }),
    restore: (args: string[] = [], env: Record<string, string> = {}) =>
      verda.script('restore', args, { env }),
    /** Names on Mello, sorted. */
    onMello: (folder = 'config') =>
      existsSync(path.join(backups, folder)) ? readdirSync(path.join(backups, folder)).sort() : [],
    git: (...args: string[]) =>
      execFileSync('git', ['-C', repository, ...args])
        .toString()
        .trim(),
    /** Every successful write to an object store, as `bucket/key`: no key may occur twice. */
    written: (server: S3Server = servers.r2) =>
      server.log
        .filter(
          ({ operation, status }) =>
            ['PutObject', 'CompleteMultipartUpload'].includes(operation) && status === 200,
        )
        .map(({ bucket, key }) => `${bucket}/${key}`),
    /** Saves its folder for `copyOf`. */
    async save() {
      servers.r2.save()
      await servers.r2.close({ keep: true })
    },
    async dispose() {
      await servers.r2.close()
      await servers.hetzner?.close()
      verda.dispose()
    },
  }

  if (saved) return workshop
  for (const folder of ['workflows', 'inputs', 'user_data', 'outputs']) {
    workshop.write(`home/dev/comfyume-v1/data/${folder}/user001/file`, `${folder} of user001\n`)
  }
  workshop.write('home/dev/comfyume-v1/.env', 'PASSWORD=pa$$word\n')
  workshop.write('home/dev/comfyume-v1/nginx/.htpasswd', 'user001:$apr1$hash\n')
  workshop.writeModel('checkpoints/base.safetensors', 'base model\n')
  workshop.writeModel('loras/style.safetensors', 'style\n')
  for (const name of ['frontend', 'worker', 'queue-manager', 'nginx', 'admin'])
    image(verda.folder, `comfyume-${name}`)
  settle()
  return workshop
}

/** Adds or replaces an image for the engine. */
export function image(folder: string, name: string, layer: string | Buffer = `layer of ${name}\n`): void {
  const content = path.join(folder, 'images', name)
  mkdirSync(content, { recursive: true })
  writeFileSync(path.join(content, 'config.json'), '{}')
  writeFileSync(path.join(content, 'layer.tar'), layer)
  writeFileSync(
    path.join(content, 'manifest.json'),
    JSON.stringify([{ Config: 'config.json', RepoTags: [`${name}:latest`], Layers: ['layer.tar'] }]),
  )
}

export function reportIn(run: Run) {
  return JSON.parse(run.stdout)
}

function accessTo(prefix: string, server: S3Server): Record<string, string> {
  return {
    [`${prefix}_ENDPOINT`]: server.endpoint,
    [`${prefix}_ACCESS_KEY_ID`]: server.accessKeyId,
    [`${prefix}_SECRET_ACCESS_KEY`]: server.secretAccessKey,
  }
}

/** A small docker: only inspect and save, for folders below `images/`. Real tests use podman. */
function fakeEngine(folder: string): string {
  const engine = path.join(folder, 'engine')
  writeFileSync(
    engine,
    `#!/bin/bash
images=${folder}/images
case "$1 $2" in
  'container inspect') exit 1 ;;
  'image inspect')
    name=\${5%%:*}
    [ -d "$images/$name" ] || { echo "Error: No such image: $5" >&2; exit 1; }
    echo "sha256:$(cat "$images/$name"/* | sha256sum | cut -c 1-64)"
    echo "$5"
    du -sb "$images/$name" | cut -f 1 ;;
  save*) name=\${2%%:*}; tar -C "$images/$name" --sort=name --mtime=@0 -cf - . --transform 's,^\\./,,' ;;
  *) echo "engine: what is $*?" >&2; exit 2 ;;
esac
`,
  )
  chmodSync(engine, 0o755)
  return engine
}
