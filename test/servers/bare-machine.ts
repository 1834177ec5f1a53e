import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { inside, powerOn } from './machine-power.ts'
import { layShims, type ShimOptions, shimCalls, startEnabledUnits } from './machine-shims.ts'
import { type PortRelay, relayPort } from './port-relay.ts'

/** The result of a command in the machine. */
export interface MachineRun {
  /** Null if it was killed. */
  code: number | null
  stdout: string
  stderr: string
}

export interface MachineRunOptions {
  /** Added to a root login's PATH, HOME, USER, LOGNAME, SHELL and LANG; nothing else is passed on. */
  env?: Record<string, string>
  /** Its standard input; empty by default. */
  input?: string | Buffer
  cwd?: string
  /** Seconds until the power is cut and the run fails; 120 by default. */
  timeout?: number
}

/** A command that is running in a machine. */
export interface MachineRunning {
  ended: Promise<MachineRun>
  /** Waits until either output contains this text; throws if the command ends without it. */
  said(text: string): Promise<void>
  /** Cuts the machine's power and turns it on again: all processes are gone, all files stay. */
  kill(): Promise<void>
}

/** A program with arguments, or a bash script. */
type Command = string | readonly string[]

export type BareMachine = Awaited<ReturnType<typeof bareMachine>>

/**
 * A new machine without the toolkit or Node, from the image of `.ci/install-machine`, with its own root,
 * files, processes, mounts and network. The network reaches only itself and the ports that a test opens. None
 * of its mounts are visible outside. Needs root.
 */
export async function bareMachine() {
  const image = machineImage()
  const folder = mkdtempSync(path.join(tmpdir(), 'machine-'))
  const mounts = new Map<string, string>()
  const relays = new Map<number, PortRelay>()
  let shims = false
  let power = await powerOn(image, folder)

  function start(command: Command, options: MachineRunOptions = {}): MachineRunning {
    const { env = {}, input, cwd = '/root', timeout = 120 } = options
    const child = spawn(
      'nsenter',
      [...inside(power.pid, folder), '/usr/bin/env', `--chdir=${cwd}`, ...commandLine(command)],
      {
        env: { ...login, ...env },
        stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      },
    )
    const run: MachineRun = { code: null, stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        run[name] += text
      })
    }
    // A command may end before it has read all its input.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    let cut: Promise<void> | undefined
    const timer = setTimeout(() => {
      cut = cutPower()
    }, timeout * 1000)
    const ended = new Promise<MachineRun>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => {
        clearTimeout(timer)
        run.code = code
        // A daemon that it started may hold its outputs open forever.
        const drained = setTimeout(() => {
          child.stdout?.destroy()
          child.stderr?.destroy()
        }, 500)
        child.once('close', () => {
          clearTimeout(drained)
          if (cut === undefined) resolve(run)
          else
            cut
              .then(() => {
                throw new Error(`${command} did not end within ${timeout} s: ${run.stdout}${run.stderr}`)
              })
              .catch(reject)
        })
      })
    })
    ended.catch(() => {})
    return {
      ended,
      async said(text) {
        const heard = () => run.stdout.includes(text) || run.stderr.includes(text)
        let over = false
        void ended
          .finally(() => {
            over = true
          })
          .catch(() => {})
        while (!heard() && !over) await new Promise((resolve) => setTimeout(resolve, 5))
        if (!heard()) throw new Error(`it ended without ${JSON.stringify(text)}: ${run.stdout}${run.stderr}`)
      },
      async kill() {
        await cutPower()
        await ended.catch(() => {})
      },
    }
  }

  /** One after the other, and none after the machine is disposed. */
  let turn: Promise<void> = Promise.resolve()
  let gone = false
  function inTurn(step: () => Promise<void>): Promise<void> {
    const taken = turn.then(() => (gone ? undefined : step()))
    turn = taken.catch(() => {})
    return taken
  }

  const cutPower = () =>
    inTurn(async () => {
      await powerOff()
      power = await powerOn(image, folder)
      for (const [at, outside] of mounts) bind(outside, at)
      for (const port of relays.keys()) relays.set(port, await relayPort(power.pid, port, folder))
      if (shims) await startEnabledUnits(machine)
    })

  async function powerOff(): Promise<void> {
    await power.off()
    for (const relay of relays.values()) await relay.close()
  }

  /** Where both the outside's folders and the machine's are visible. */
  function bind(outside: string, at: string): void {
    now(['mkdir', '-p', '--', at])
    outsideOf('mount', '--bind', outside, path.join(folder, 'root', at))
  }

  const outsideOf = (...args: string[]) =>
    execFileSync('/usr/bin/nsenter', [`--target=${power.pid}`, '--mount', '--', ...args], { stdio: 'pipe' })
  const now = (args: string[], input: string | Buffer = '') =>
    execFileSync('/usr/bin/nsenter', [...inside(power.pid, folder), ...args], {
      input,
      env: login,
      maxBuffer: 1 << 28,
      stdio: 'pipe',
    })

  const machine = {
    /** The changes to the image; also identifies this machine's mounts. Removed by `dispose`. */
    folder,
    start,
    /** Runs a command to its end, whatever the exit code. */
    run: (command: Command, options?: MachineRunOptions): Promise<MachineRun> =>
      start(command, options).ended,
    /** Like `run`, but throws with the output unless the exit code is 0. Returns standard output. */
    async do(command: Command, options?: MachineRunOptions): Promise<string> {
      const { code, stdout, stderr } = await start(command, options).ended
      if (code !== 0) throw new Error(`${command} ended with ${code}: ${stdout}${stderr}`)
      return stdout
    },
    /** Follows links as the machine does. */
    read: (file: string): string => now(['cat', '--', file]).toString(),
    write(file: string, content: string | Buffer, mode = 0o644) {
      now(['sh', '-c', writeScript, 'sh', file, mode.toString(8)], content)
    },
    exists: (file: string): boolean =>
      now(['sh', '-c', '[ -e "$1" ] || [ -L "$1" ]; echo $?', 'sh', file]).toString() === '0\n',
    /** A machine's file as seen from outside until the power is cut. A link to `/…` leads outside. */
    path: (file: string): string => path.join(`/proc/${power.pid}/root`, file),
    /**
     * Cuts the power and turns it on again. All written data is kept, flushed or not, as are the effects of
     * `mount`, `reach` and `addShims`; /run is empty, other mounts are gone, and no process is left.
     */
    cutPower,
    /**
     * Mounts a folder of this machine in it, until `unmount`. Mounts made here after the last power-on may
     * not be visible there; cut the power once.
     */
    mount(outside: string, at: string) {
      bind(outside, at)
      mounts.set(at, outside)
    },
    /** Removes a mount, even one in use. */
    unmount(at: string) {
      mounts.delete(at)
      outsideOf('umount', '--lazy', path.join(folder, 'root', at))
    },
    /** Lets the machine reach this machine's 127.0.0.1:`port` at the same address. */
    async reach(port: number) {
      if (!relays.has(port)) relays.set(port, await relayPort(power.pid, port, folder))
    },
    /** Adds stand-ins for what cannot be real here (see test/servers/shims/); each logs its calls. */
    async addShims(options: ShimOptions = {}) {
      shims = true
      await layShims(machine, options)
    },
    /** The calls of all shims, or of one, in order: `systemctl mask tailscaled`. */
    calls: (name?: string): string[] => shimCalls(machine, name),
    /** Makes every call of a shim fail with this message, until called with false. */
    failShim(name: string, message: string | false) {
      const file = `/var/lib/shims/fail/${name}`
      if (message === false) now(['rm', '-f', '--', file])
      else machine.write(file, `${message}\n`)
    },
    /** Sets what an NFS share (`host:/path`) resolves to, once nfs-common is installed; others are denied. */
    grant(share: string, outside: string) {
      machine.mount(outside, `/run/shims/shares/${share.replaceAll('/', '_')}`)
    },
    /** Safe to call again. */
    dispose: () =>
      inTurn(async () => {
        gone = true
        await powerOff()
        rmSync(folder, { recursive: true, force: true })
      }),
  }
  return machine
}

const commandLine = (command: Command): readonly string[] =>
  typeof command === 'string' ? ['bash', '--norc', '-c', command] : command

/** The environment of a root login. */
const login = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  USER: 'root',
  LOGNAME: 'root',
  SHELL: '/bin/bash',
  LANG: 'C.UTF-8',
}

const writeScript = 'mkdir -p -- "$(dirname -- "$1")" && cat >"$1" && chmod "$2" -- "$1"'

/** The folder of the image, built now if missing. */
function machineImage(): string {
  const script = path.resolve(import.meta.dirname, '../../.ci/install-machine')
  return execFileSync(script, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim()
}
