import { chmod, copyFile, mkdir, readFile, readlink, rename, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { crontabWith, isInstalled } from '../crontab.ts'
import { run, systemPath } from '../hosts/process.ts'
import { has, must, sh } from '../hosts/shell.ts'
import type { HostName } from '../inventory.ts'
import { aptGet, asRoot, install, notInstalled } from '../restore/steps/packages.ts'
import { quote, runAgain } from '../text.ts'
import { ByHand, type SetupStep } from './run.ts'

/** Debian and Ubuntu packages: those a capture uses, and those a person needs to restore by hand. */
const packages: Record<HostName, readonly string[]> = {
  verda: ['acl', 'cron', 'git', 'isal', 'nfs-common', 'pigz', 'sqlite3'],
  mello: ['cron', 'git', 'isal', 'openssh-client', 'pigz', 'sqlite3'],
}

export function packagesStep(on: HostName): SetupStep {
  const missing = () => notInstalled(packages[on])
  return {
    name: 'packages',
    title: packages[on].join(', '),
    done: async () => ((await missing()).length === 0 ? 'all installed' : undefined),
    async do() {
      const lacking = await missing()
      await needsRoot(`apt-get install ${lacking.join(' ')}`)
      await aptGet('update').catch(() => {})
      await install(lacking.map((name) => [name]))
      const left = await missing()
      if (left.length > 0)
        throw new Error(
          `apt does not know ${left.join(', ')} here: add the repository that has it, then ${runAgain()}`,
        )
      return `installed ${lacking.join(', ')}`
    },
  }
}

export function clockStep(): SetupStep {
  return {
    name: 'clock',
    title: 'time zone UTC, which the schedules of cron need',
    async done() {
      const zone = (await sh`date +%Z`).stdout.trim()
      return zone === 'UTC' ? 'UTC' : undefined
    },
    async do() {
      const command = 'timedatectl set-timezone UTC && systemctl restart cron'
      await needsRoot(command)
      await must(sh`${asRoot()} sh -c ${command}`)
      return 'set to UTC; cron restarted'
    },
  }
}

/** The Node that cron uses and that is backed up with the toolkit: it must run alone on an empty machine. */
export function runtimeStep(toolkit: string): SetupStep {
  const own = path.join(toolkit, 'bin/node')
  return {
    name: 'runtime',
    title: `the toolkit's own Node in ${own}`,
    async done() {
      const { exitCode, stdout } = await sh`${own} --version`
      return exitCode === 0 ? stdout.trim() : undefined
    },
    async do() {
      const source = process.execPath
      if (await needsOtherLibraries(source))
        throw new ByHand(
          `${source} does not run on an empty machine: it needs libraries of this one`,
          'Here',
          [`cd "$(mktemp -d)" && npm install node@22 && install -D node_modules/node/bin/node ${own}`],
        )
      await mkdir(path.dirname(own), { recursive: true })
      await copyFile(source, `${own}.new`)
      await chmod(`${own}.new`, 0o755)
      await rename(`${own}.new`, own)
      return `${process.version}, copied from ${source}`
    },
  }
}

async function needsOtherLibraries(node: string): Promise<boolean> {
  return /lib(?:node|uv|v8|icu)/.test((await sh`ldd ${node}`).stdout)
}

/** A private `.env`, made from `.env.example`, with a value for each setting this machine needs. */
export function settingsStep(
  toolkit: string,
  needed: readonly string[],
  has: (name: string) => boolean,
): SetupStep {
  const file = path.join(toolkit, '.env')
  const missing = () => needed.filter((name) => !has(name))
  const inOrder = async () => {
    const found = await stat(file).catch(() => undefined)
    return found !== undefined && (found.mode & 0o077) === 0
  }
  return {
    name: 'settings',
    title: `${file}, for its owner alone${needed.length > 0 ? `, with ${needed.join(', ')}` : ''}`,
    done: async () => ((await inOrder()) && missing().length === 0 ? file : undefined),
    async do() {
      const made = await writeFile(file, await readFile(path.join(toolkit, '.env.example')), {
        flag: 'wx',
        mode: 0o600,
      }).then(
        () => true,
        (error) => {
          if (error.code === 'EEXIST') return false
          throw error
        },
      )
      await chmod(file, 0o600)
      if (missing().length > 0)
        throw new ByHand(
          `${missing().join(', ')} ${missing().length === 1 ? 'has' : 'have'} no value yet`,
          'Write them into the file',
          [`"\${EDITOR:-nano}" ${file}`],
        )
      return made ? `made from .env.example` : `${file} is now readable by its owner alone`
    },
  }
}

/** The toolkit's lines in this user's crontab, between marks. */
export function crontabStep(toolkit: string, on: HostName): SetupStep {
  const ours = async () =>
    (await readFile(path.join(toolkit, 'crontab', on), 'utf8')).replaceAll('/opt/comfyume-backup', toolkit)
  return {
    name: 'crontab',
    title: "the backups in this user's crontab, between marks; other lines stay",
    done: async () => (isInstalled(await readCrontab(), await ours(), on) ? 'installed' : undefined),
    async do() {
      const text = crontabWith(await readCrontab(), await ours(), on)
      await run(['crontab', '-'], { reject: true, input: text, env: { PATH: systemPath() } })
      return 'installed; see it with: crontab -l'
    },
  }
}

/** This user's crontab. Throws when it cannot be read, because it must not be overwritten then. */
export async function readCrontab(): Promise<string> {
  if (!(await has('crontab'))) return ''
  const { exitCode, stdout, stderr } = await sh`crontab -l`
  if (exitCode === 0) return stdout
  if (stderr.includes('no crontab for')) return ''
  throw new Error(`crontab -l failed: ${stderr.trim() || `exit code ${exitCode}`}`)
}

export function linkStep(toolkit: string, link = '/usr/local/bin/comfyume-backup'): SetupStep {
  const target = path.join(toolkit, 'scripts/comfyume-backup')
  return {
    name: 'command',
    title: `comfyume-backup in ${path.dirname(link)}`,
    done: async () => ((await readlink(link).catch(() => '')) === target ? link : undefined),
    async do() {
      const there = await stat(link).catch(() => undefined)
      const isOurs = (await readlink(link).catch(() => '')).endsWith('/scripts/comfyume-backup')
      if (there !== undefined && !isOurs) throw new Error(`${link} is another program; move it away first`)
      await needsRoot(`ln -sfn ${target} ${link}`)
      await must(sh`${asRoot()} ln -sfn ${target} ${link}`)
      return `${link} -> ${target}`
    },
  }
}

/** Throws ByHand with the command unless this user is root or has sudo without a password. */
export async function needsRoot(command: string): Promise<void> {
  if (asRoot().length === 0 || (await sh`sudo -n true`).exitCode === 0) return
  throw new ByHand('this needs root, and sudo asks for a password', 'Paste this here', [
    `sudo sh -c ${quote(command)}`,
  ])
}
