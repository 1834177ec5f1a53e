import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

/** The machine and the programs, one line each, for readers elsewhere. */
export function machineLines(folder: string): string[] {
  const [first] = cpus()
  const system = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux'
  const disk = said('df', '--output=fstype', folder).split('\n').at(-1)?.trim()
  return [
    `${cpus().length} cores (${first?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${system}, kernel ${release()}, ${disk}; Node ${process.version}`,
    `Peers: ${versions
      .map(([program, ...args]) => said(program as string, ...args).split('\n')[0])
      .filter(Boolean)
      .join('; ')}`,
  ]
}

const versions = [
  ['tar', '--version'],
  ['gzip', '--version'],
  ['pigz', '--version'],
  ['igzip', '--version'],
  ['aws', '--version'],
  ['rclone', '--version'],
  ['restic', 'version'],
  ['borg', '--version'],
  ['s5cmd', 'version'],
]

function said(program: string, ...args: string[]): string {
  try {
    const text = execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    return text.startsWith('v') ? `${program} ${text}` : text
  } catch {
    return ''
  }
}
