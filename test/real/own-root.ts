import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { end } from '../servers/child.ts'

/** This machine's files, where no change stays: the target of a restore to `/`. */
export interface OwnRoot {
  /** The path of one of its files for this process. */
  at(file: string): string
  /** The prefix of a command that runs in it. */
  inside: readonly string[]
  /** Discards all writes. Processes started in it keep running. */
  close(): Promise<void>
}

/**
 * A mount namespace where `/` is a copy-on-write view of this machine's files, with empty homes and /run. It
 * shares processes, network and /tmp. One process holds it and ends with this one, so nothing stays mounted.
 * Needs root.
 */
export async function openOwnRoot(): Promise<OwnRoot> {
  const folder = mkdtempSync(path.join(tmpdir(), 'own-root-'))
  const holder = spawn(
    'unshare',
    ['--mount', '--propagation', 'private', 'bash', '--norc', '-c', script, 'bash', folder],
    { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH } },
  )
  await ready(holder)
  const proc = `/proc/${holder.pid}`
  return {
    at: (file) => `${proc}/root${file}`,
    inside: ['nsenter', `--mount=${proc}/ns/mnt`, `--root=${proc}/root`, `--wdns=${process.cwd()}`, '--'],
    async close() {
      await end(holder)
      rmdirSync(folder)
    },
  }
}

async function ready(holder: ChildProcess): Promise<void> {
  const lines = createInterface(holder.stdout as NodeJS.ReadableStream)
  await Promise.race([once(lines, 'line'), once(holder, 'exit')])
  if (holder.exitCode !== null) throw new Error('a root of its own could not be mounted: that takes root')
}

/** Argument: an empty folder. /tmp is no copy, because pipes and sockets would then differ. */
const script = `
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work,redirect_dir=on" overlay root
for each in dev proc sys; do mount --rbind "/$each" "root/$each"; done
mount --bind /tmp root/tmp
for each in home root run; do mount -t tmpfs -o mode=755 tmpfs "root/$each"; done
mkdir -m 1777 root/run/lock
exec chroot root bash --norc -c 'echo ready; read -r _'
`
