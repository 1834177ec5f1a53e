import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import path from 'node:path'

/** A podman with its own storage. */
export interface Engine {
  /** The path of a script that runs it. */
  command: string
  run(...args: string[]): string
  /** Every image as `reference id`, sorted. */
  images(): string[]
}

/** `before`: lines of sh to run before each of its commands. */
export function podman(storage: string, before = ''): Engine {
  mkdirSync(storage)
  const command = path.join(storage, 'engine')
  const options = ['root', 'runroot', 'tmpdir'].map((name) => `--${name} ${storage}/${name}`).join(' ')
  writeFileSync(command, `#!/bin/sh\n${before}\nexec podman ${options} --storage-driver vfs "$@"\n`)
  chmodSync(command, 0o755)
  const run = (...args: string[]) => execFileSync(command, args, { encoding: 'utf8', stdio: 'pipe' })
  return {
    command,
    run,
    images: () =>
      run('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}')
        .split('\n')
        .filter(Boolean)
        .sort(),
  }
}

/** An image with one layer of random content, larger than all buffers; `folder` holds the files. */
export function importImage(engine: Engine, folder: string, reference: string): void {
  const files = mkdtempSync(path.join(folder, 'files-'))
  writeFileSync(path.join(files, 'app'), randomBytes(12_000_000), { mode: 0o755 })
  execFileSync('tar', ['-C', files, '-cf', `${files}.tar`, '.'])
  engine.run('import', `${files}.tar`, reference)
}
