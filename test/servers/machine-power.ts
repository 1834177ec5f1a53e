import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { createInterface } from 'node:readline'

/** A running machine. */
export interface Power {
  /** Its first process, in this machine's numbers. */
  pid: number
  /** Without warning. Once it returns, no process of the machine is left. */
  off(): Promise<void>
}

/**
 * Starts a machine: its own mounts, processes, names and network, with `image` as root and all changes in
 * `folder`. One process holds it and ends with this one, so nothing stays mounted. Needs root.
 */
export async function powerOn(image: string, folder: string): Promise<Power> {
  const namespaces = ['--mount', '--propagation', 'slave', '--pid', '--uts', '--ipc', '--net']
  const child = spawn(
    'unshare',
    [
      ...namespaces,
      '--fork',
      '--kill-child',
      ...limits,
      'bash',
      '--norc',
      '-c',
      bootScript,
      'bash',
      image,
      folder,
    ],
    { stdio: ['pipe', 'pipe', 'pipe'], env: { PATH: process.env.PATH } },
  )
  let complaint = ''
  child.stderr.on('data', (data) => {
    complaint += data
  })
  const ended = once(child, 'close')
  const lines = createInterface(child.stdout)
  const answer = await Promise.race([once(lines, 'line'), ended])
  const pid = Number(answer[0])
  if (child.exitCode !== null || child.signalCode !== null || !pid)
    throw new Error(`the machine does not start (root is needed): ${complaint.trim()}`)
  return {
    pid,
    async off() {
      // The kernel ends the first process of a namespace after all others.
      if (child.exitCode === null && child.signalCode === null) process.kill(pid, 'SIGKILL')
      await ended
    },
  }
}

/**
 * The nsenter command line into the machine of `folder`, as its root. Names the root explicitly: if the
 * machine is not mounted, the folder is empty and a command fails instead of running on this machine.
 */
export const inside = (pid: number, folder: string): string[] => [
  `--target=${pid}`,
  ...['--mount', '--pid', '--uts', '--ipc', '--net', '--'],
  ...limits,
  ...['/usr/sbin/chroot', path.join(folder, 'root')],
]

/** Even inside namespaces, these rights would reach this machine's kernel, clock and power. */
const limits = ['/usr/bin/setpriv', '--bounding-set=-sys_time,-sys_module,-sys_boot,-sys_rawio,-syslog', '--']

/**
 * Arguments: the image, and the folder for changes. The first line of output is this process's number
 * outside: readable only while /proc is still the outside's, and printed only when everything is ready.
 */
const bootScript = `
set -e
read -r pid _ </proc/self/stat
cd -- "$2"
mkdir -p upper work root
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work,redirect_dir=on,index=off,metacopy=off" machine root
cd root
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,ro proc/sys
mount -t tmpfs -o nosuid,nodev,mode=755 tmpfs run
mkdir -m 1777 run/lock
mount -t tmpfs -o nosuid,mode=755 tmpfs dev
while read -r name major minor; do mknod -m 666 "dev/$name" c "$major" "$minor"; done <<'end'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
end
ln -s /proc/self/fd dev/fd
for fd in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/\${fd%:*}" "dev/\${fd#*:}"; done
ln -s pts/ptmx dev/ptmx
mkdir dev/pts
mkdir -m 1777 dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
hostname "$(cat etc/hostname)"
chroot . ip link set lo up
exec chroot . bash --norc -c 'echo "$1"; read -r _' bash "$pid"
`
