import { execFileSync } from 'node:child_process'
import path from 'node:path'

export interface ShimOptions {
  /** Packages of shims/packages installed from the start, on top of the image's; docker.io by default. */
  installed?: string[]
}

interface Machine {
  do(command: string | string[], options?: { input?: Buffer; env?: Record<string, string> }): Promise<string>
  read(file: string): string
  exists(file: string): boolean
}

/** Puts test/servers/shims/ into a machine before the real commands, and starts the enabled units. */
export async function layShims(machine: Machine, { installed = ['docker.io'] }: ShimOptions): Promise<void> {
  const files = execFileSync('tar', ['-C', path.join(import.meta.dirname, 'shims'), '-c', '.'])
  await machine.do(layScript, { input: files })
  await startEnabledUnits(machine)
  if (installed.length > 0) await machine.do(['bash', '--norc', '-c', installScript, 'bash', ...installed])
}

/** Does what systemd would at boot. */
export async function startEnabledUnits(machine: Machine): Promise<void> {
  await machine.do(bootScript)
}

export function shimCalls(machine: Machine, name?: string): string[] {
  if (!machine.exists(callsFile)) return []
  const calls = machine.read(callsFile).trimEnd().split('\n')
  return calls.filter((call) => call !== '' && (name === undefined || call.split(' ')[0] === name))
}

const callsFile = '/var/lib/shims/calls'

const layScript = `
set -e
mkdir -p /usr/local/lib/shims
tar -C /usr/local/lib/shims --no-same-owner -x
for name in systemctl apt-get findmnt; do ln -sf "/usr/local/lib/shims/$name" "/usr/local/sbin/$name"; done
`

/** Calls by the fixtures, not by the code under test. */
const uncounted = `
set -e
calls=${callsFile}
mkdir -p /var/lib/shims
touch "$calls"
cp -p "$calls" "$calls.before"
`
const counted = `
mv "$calls.before" "$calls"
`

const bootScript = `
${uncounted}
for unit in /etc/systemd/system/multi-user.target.wants/*.service; do systemctl start "\${unit##*/}" || true; done
${counted}
`

const installScript = `
${uncounted}
apt-get update
apt-get install -y "$@"
rm /var/lib/shims/apt-updated
${counted}
`
