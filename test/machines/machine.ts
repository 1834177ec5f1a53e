import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MachineRun } from '../servers/bare-machine.ts'

/** The network addresses of .ci/install-machines, by name. */
const numbers = { share: 1, verda: 2, mello: 3, new: 4 }
export type MachineName = keyof typeof numbers

export interface RunOptions {
  env?: Record<string, string>
  input?: string | Buffer
  /** Seconds; 300 by default. A time-out is for what hangs. */
  timeout?: number
}

export interface Place {
  /** For disks, and for the log of each machine. */
  folder: string
  /** The UDP port on loopback that is the network between its machines. */
  port: number
  /** A disk with the label `host`: what the machines are given, at /host. */
  hostDisk: string
}

export interface MachineOptions {
  /** What its clock says at the start, in UTC: `2026-12-01T10:00:00`. */
  clock?: string
  /** MiB. */
  memory?: number
  /** A second disk, which it has at /data. */
  data?: boolean
}

/** A whole system in qemu: a real kernel, systemd, a network of its own with the other machines of its place. */
export class Machine {
  #qemu: ReturnType<typeof spawn> | undefined
  #port: Socket | undefined
  #ended: Promise<unknown> = Promise.resolve()
  #next = 0
  readonly #waiting = new Map<number, (answer: MachineRun) => void>()
  /** Its disk, and what was seen: `console`, `qemu`, `commands`. */
  readonly folder: string

  constructor(
    readonly name: MachineName,
    readonly place: Place,
    readonly options: MachineOptions = {},
  ) {
    this.folder = path.join(place.folder, name)
    mkdirSync(this.folder, { recursive: true })
    if (options.data) this.#makeData()
  }

  get #disk() {
    return path.join(this.folder, 'disk.qcow2')
  }

  get #data() {
    return path.join(this.folder, 'data.qcow2')
  }

  #makeData() {
    const raw = path.join(this.folder, 'data.img')
    execFileSync('mkfs.ext4', ['-q', '-L', 'data', raw, '256M'], { stdio: 'pipe' })
    execFileSync('qemu-img', ['convert', '-O', 'qcow2', raw, this.#data])
    rmSync(raw)
  }

  /**
   * Runs a script on its disk before it is ever turned on, at this machine's speed: root directory, processes and network of its own, and no
   * systemd, so `systemctl enable` works and `start` does not.
   */
  prepare(script: string): void {
    const raw = path.join(this.folder, 'disk.img')
    execFileSync('cp', ['--sparse=always', `${machineImage()}/disk.img`, raw])
    const root = path.join(this.folder, 'root')
    mkdirSync(root)
    const said = execFileSync(
      'unshare',
      [
        ...[
          '--mount',
          '--net',
          '--pid',
          '--uts',
          '--fork',
          '--kill-child',
          'bash',
          '-ec',
          chrootScript,
          'bash',
        ],
        raw,
        this.place.hostDisk,
        root,
        this.name,
      ],
      {
        input: this.options.data ? dataScript + script : script,
        stdio: ['pipe', 'pipe', 'pipe'],
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: '/root' },
      },
    )
    this.#note(`prepared\n${said}`)
    rmSync(root, { recursive: true })
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', raw, this.#disk])
  }

  /** Turns it on, with a new disk if it has none, and waits until it takes orders. */
  async boot(seconds = 1200): Promise<void> {
    const image = machineImage()
    if (!existsSync(this.#disk))
      execFileSync('qemu-img', [
        'create',
        '-q',
        '-f',
        'qcow2',
        '-F',
        'raw',
        '-b',
        `${image}/disk.img`,
        this.#disk,
      ])
    const socket = path.join(this.folder, 'agent')
    const number = numbers[this.name]
    const { clock, data, memory = 1024 } = this.options
    const output = openSync(path.join(this.folder, 'qemu'), 'a')
    const started = Date.now()
    this.#qemu = spawn(
      'qemu-system-x86_64',
      [
        ...[
          '-accel',
          accelerator(image),
          '-cpu',
          'qemu64,-svm',
          // With two, an emulated Node dies of illegal instructions in most runs.
          '-smp',
          '1',
          '-m',
          String(memory),
          '-nodefaults',
          '-display',
          'none',
          '-no-reboot',
        ],
        ...['-kernel', `${image}/vmlinuz`, '-initrd', `${image}/initrd`],
        ...[
          '-append',
          // Without no_timer_check a kernel on a busy core panics now and then: the timer seems not to work.
          `root=/dev/vda rw console=ttyS0 net.ifnames=0 systemd.hostname=${this.name} panic=-1 mitigations=off no_timer_check ${noUse}`,
        ],
        ...[
          '-chardev',
          `file,id=console,append=on,path=${path.join(this.folder, 'console')}`,
          '-serial',
          'chardev:console',
        ],
        // What the guest did not flush is lost with qemu, as it is with a disk's power.
        ...['-drive', `file=${this.#disk},format=qcow2,if=virtio,cache=writeback`],
        ...['-drive', `file=${this.place.hostDisk},format=raw,if=virtio,snapshot=on`],
        ...[
          '-netdev',
          'user,id=packages',
          '-device',
          `virtio-net-pci,netdev=packages,mac=52:54:00:77:02:0${number}`,
        ],
        ...['-netdev', `socket,id=machines,mcast=230.0.77.1:${this.place.port},localaddr=127.0.0.1`],
        ...['-device', `virtio-net-pci,netdev=machines,mac=52:54:00:77:01:0${number}`],
        ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${socket},server=on,wait=off`],
        ...['-device', 'virtserialport,chardev=agent,name=agent', '-device', 'virtio-rng-pci'],
        ...(data ? ['-drive', `file=${this.#data},format=qcow2,if=virtio,cache=writeback`] : []),
        ...(clock === undefined ? [] : ['-rtc', `base=${clock}`]),
      ],
      { stdio: ['ignore', output, output] },
    )
    const qemu = this.#qemu
    running.add(qemu)
    // A qemu that is not there is an `error`, and then too it has ended.
    this.#ended = once(qemu, 'close')
      .catch(() => {})
      .then(() => running.delete(qemu))
    const up = await this.#connect(socket, started + seconds * 1000)
    if (!up) {
      const said = readFileSync(path.join(this.folder, 'qemu'), 'utf8').trim().split('\n').at(-1)
      const why = this.#isOff ? `ended by itself: ${said}` : `did not start within ${seconds} s`
      throw new Error(`${this.name} ${why}; see ${this.folder}/console`)
    }
    this.#note(`up after ${Math.round((Date.now() - started) / 1000)} s`)
  }

  async #connect(socket: string, end: number): Promise<boolean> {
    while (!existsSync(socket)) {
      if (this.#isOff || Date.now() > end) return false
      await sleep(100)
    }
    const port = connect(socket)
    this.#port = port
    port.on('error', () => {})
    let up = false
    createInterface(port).on('line', (line) => {
      const answer = JSON.parse(line)
      if (answer.up) up = true
      else this.#waiting.get(answer.id)?.(answer)
    })
    while (!up) {
      if (this.#isOff || Date.now() > end) return false
      await sleep(100)
    }
    return true
  }

  get #isOff() {
    return this.#qemu === undefined || this.#qemu.exitCode !== null || this.#qemu.signalCode !== null
  }

  /** Runs a program with arguments, or a bash script, as root, to its end, whatever its exit code. */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<MachineRun> {
    const { env = {}, input = '', timeout = 300 } = options
    const words = typeof command === 'string' ? ['bash', '--norc', '-c', command] : command
    const id = this.#next++
    const started = Date.now()
    const order = { id, command: words, env, input: Buffer.from(input).toString('base64') }
    const answered = new Promise<MachineRun>((resolve) => this.#waiting.set(id, resolve))
    this.#port?.write(`${JSON.stringify(order)}\n`)
    const late = new AbortController()
    const run = await Promise.race([
      answered,
      this.#ended.then(() => 'its power went off'),
      sleep(timeout * 1000, `not within ${timeout} s`, { signal: late.signal }).catch(() => 'never'),
    ])
    late.abort()
    this.#waiting.delete(id)
    const seconds = ((Date.now() - started) / 1000).toFixed(1)
    const shown = typeof command === 'string' ? command.trim() : command.join(' ')
    if (typeof run === 'string') {
      this.#note(`${shown}\n   ${run}`)
      throw new Error(`${this.name}: ${shown.slice(0, 300)}: ${run}; see ${this.folder}`)
    }
    this.#note(`${shown}\n   exit ${run.code} after ${seconds} s\n${run.stdout}${run.stderr}`)
    return run
  }

  /** Like `run`, but throws with the output unless the exit code is 0. Returns standard output. */
  async do(command: string | readonly string[], options?: RunOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(command, options)
    if (code !== 0)
      throw new Error(`${this.name}: ${command} ended with ${code}: ${stdout}${stderr}; see ${this.folder}`)
    return stdout
  }

  async write(file: string, content: string, mode = 0o644): Promise<void> {
    await this.do(
      [
        'sh',
        '-c',
        'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"',
        'sh',
        file,
        mode.toString(8),
      ],
      {
        input: content,
      },
    )
  }

  /** Shuts it down as `poweroff` does; everything is on its disk then. */
  async off(): Promise<void> {
    if (!this.#isOff) await this.run('systemctl poweroff').catch(() => {})
    await Promise.race([this.#ended, sleep(120_000, undefined, { ref: false })])
    await this.cut()
  }

  /** Cuts its power: what its kernel had not written to the disk is gone. */
  async cut(): Promise<void> {
    this.#qemu?.kill('SIGKILL')
    await this.#ended
    this.#port?.destroy()
    this.#waiting.clear()
    rmSync(path.join(this.folder, 'agent'), { force: true })
    this.#note('power is off')
  }

  /** Shows what a cut of its power at this moment would leave at /data, and lets it go on. */
  async ifCutNow<Answer>(look: (data: string) => Answer): Promise<Answer> {
    this.#qemu?.kill('SIGSTOP')
    try {
      await this.#stopped()
      return mounted(this.#data, look)
    } finally {
      this.#qemu?.kill('SIGCONT')
    }
  }

  /** Until its last thread stands still. */
  async #stopped(): Promise<void> {
    const tasks = `/proc/${this.#qemu?.pid}/task`
    const runs = (task: string) => !/^State:\s+T/m.test(readFileSync(`${tasks}/${task}/status`, 'utf8'))
    while (readdirSync(tasks).some(runs)) await sleep(1)
  }

  async reboot(): Promise<void> {
    await this.off()
    await this.boot()
  }

  /** Throws its disk away, while its power is off. */
  destroy(): void {
    for (const name of ['disk.qcow2', 'disk.img', 'data.qcow2'])
      rmSync(path.join(this.folder, name), { force: true })
  }

  /** A file on its disk, read while its power is off; empty when it is not there. */
  readFromDisk(file: string): string {
    return mounted(this.#disk, (root) => {
      const found = path.join(root, file)
      return existsSync(found) ? readFileSync(found, 'utf8') : ''
    })
  }

  #note(text: string) {
    appendFileSync(path.join(this.folder, 'commands'), `${new Date().toISOString()} ${text}\n`)
  }
}

/** An empty folder for a scenario. It stays, so that a machine that failed can be looked into. */
export function folderOf(scenario: string): string {
  const folder = path.resolve(import.meta.dirname, '../../.ci/cache/machine-logs', scenario)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  return folder
}

/** Shows what is on a disk. Mounted, because much of what was flushed may still be in the journal alone. */
function mounted<Answer>(disk: string, look: (folder: string) => Answer): Answer {
  const raw = `${disk}.raw`
  const folder = `${disk}.mounted`
  execFileSync('qemu-img', ['convert', '-U', '-O', 'raw', disk, raw])
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-o', 'loop', raw, folder])
    try {
      return look(folder)
    } finally {
      execFileSync('umount', [folder])
    }
  } finally {
    rmSync(raw)
  }
}

const chrootScript = `
mount -o loop "$1" "$3"
mount -o loop "$2" "$3/host"
mount -t proc proc "$3/proc"
mount --bind /dev "$3/dev"
mount -t tmpfs tmpfs "$3/run"
hostname "$4"
ip link set lo up
exec chroot "$3" bash --norc -e 2>&1`

/** Nothing gets to this disk by itself: what was not flushed is lost, however slow the machine is. */
const dataScript = `
mkdir /data
echo 'LABEL=data /data ext4 defaults,nofail,commit=3600 0 0' >>/etc/fstab
printf 'vm.dirty_%s_centisecs=%s\\n' writeback 0 expire 360000 >/etc/sysctl.d/data.conf
`

/** What a small machine does not have, and would look for at each boot. */
const noUse = [
  'modprobe.blacklist=ata_piix,ata_generic,button,psmouse,sr_mod,i2c_piix4,evdev',
  ...['dm_mod', 'drm', 'efi_pstore', 'loop'].map((name) => `systemd.mask=modprobe@${name}.service`),
].join(' ')

const running = new Set<ReturnType<typeof spawn>>()
process.on('exit', () => {
  for (const qemu of running) qemu.kill('SIGKILL')
})

let image: string | undefined
function machineImage(): string {
  image ??= execFileSync(path.resolve(import.meta.dirname, '../../.ci/install-machines'), {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim()
  return image
}

/** KVM where a kernel really starts with it: a machine in a machine may have the device and hang. */
function accelerator(image: string): string {
  if (!existsSync('/dev/kvm')) return 'tcg,thread=multi'
  if (kvm === undefined) {
    const started = [
      '-accel',
      'kvm',
      '-m',
      '256',
      '-nodefaults',
      '-display',
      'none',
      '-no-reboot',
      '-serial',
      'stdio',
    ]
    const kernel = ['-kernel', `${image}/vmlinuz`, '-append', 'console=ttyS0 panic=-1']
    try {
      const said = execFileSync('timeout', ['-s', 'KILL', '5', 'qemu-system-x86_64', ...started, ...kernel], {
        stdio: 'pipe',
      })
      kvm = said.includes('Linux version')
    } catch {
      kvm = false
    }
  }
  return kvm ? 'kvm' : 'tcg,thread=multi'
}
let kvm: boolean | undefined
