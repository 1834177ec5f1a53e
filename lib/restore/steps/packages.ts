import { setTimeout as sleep } from 'node:timers/promises'
import { has, must, sh } from '../../hosts/shell.ts'
import { messageOf, runAgain } from '../../text.ts'
import type { RestoreContext, Step } from '../context.ts'
import { engineOf } from './images.ts'

/** The Ubuntu packages that the workshop and its backups need. */
const packages = [
  'acl',
  'ca-certificates',
  'cron',
  'curl',
  'fail2ban',
  'git',
  'isal', // the fastest gzip there is
  'nfs-common',
  'openssh-server',
  'sqlite3', // for consistent copies of databases
  'sudo',
  'ufw',
  'zsh',
]

/** Something missing here: the packages that provide it, best first. */
type Lacking = readonly string[]

/** From Ubuntu, from Docker's own repository, from Debian. */
const compose: Lacking = ['docker-compose-v2', 'docker-compose-plugin', 'docker-compose']

/**
 * Installs missing packages that apt knows, and names those it does not. Masks tailscaled first: a package
 * starts its service, and a tailscaled without its identity takes another address (law 8).
 */
export function packagesStep(context: RestoreContext): Step {
  return {
    name: 'packages',
    title: 'Packages that are missing; tailscaled masked, so that installing it does not start it',
    items: [],
    async done() {
      return (await missing(context)).length === 0 ? 'all there' : undefined
    },
    async do() {
      const lacking = await missing(context)
      const installed: string[] = []
      const problems: string[] = []
      // A failed attempt does not matter if everything is there in the end.
      const attempt = (work: Promise<string[]>) =>
        work.then((names) => installed.push(...names)).catch((error) => problems.push(messageOf(error)))
      if (lacking.includes(tailscale)) await must(sh`systemctl mask tailscaled`)
      await attempt(aptGet('update').then(() => []))
      await attempt(install(lacking.filter((any) => any !== tailscale)))
      if (lacking.includes(tailscale)) await attempt(installTailscale())
      const left = await missing(context)
      if (left.length > 0) throw new Error(whyMissing(left, problems))
      return { said: `installed ${installed.join(', ')}`, changed: true }
    },
  }
}

function whyMissing(left: readonly Lacking[], problems: readonly string[]): string {
  const names = left.map((any) => any.join(' or ')).join(', ')
  const why = problems.join('; ') || 'apt does not know this package here'
  return `still missing: ${names}: ${why}. Add the repository that has it, or install it by hand, then ${runAgain()}`
}

const tailscale: Lacking = ['tailscale']

async function missing({ settings, plan }: RestoreContext): Promise<Lacking[]> {
  const hasDocker = await has('docker')
  const engine = settings.containerEngine ?? (await engineOf(settings)) ?? 'docker'
  const docker = plan.items.some(({ kind }) => kind === 'image') && engine === 'docker'
  return [
    ...(await notInstalled(packages)).map((name) => [name]),
    ...((await has('tailscaled')) ? [] : [tailscale]),
    ...(docker && !hasDocker ? [['docker.io', 'docker-ce']] : []),
    ...(docker && !(await composeCommand()) ? [compose] : []),
  ]
}

/** The packages that are not installed. */
export async function notInstalled(names: readonly string[]): Promise<string[]> {
  const { stdout } = await sh`dpkg-query --show --showformat '\${Package} \${db:Status-Status}\\n'`
  const installed = new Set([...stdout.matchAll(/^(\S+) installed$/gm)].map(([, name]) => name))
  return names.filter((name) => !installed.has(name))
}

/** The compose command here; undefined when not installed. */
export async function composeCommand(): Promise<string | undefined> {
  if ((await has('docker')) && (await sh`docker compose version`).exitCode === 0) return 'docker compose'
  return (await has('docker-compose')) ? 'docker-compose' : undefined
}

/** Installs the first package of each that apt knows, and returns the names. */
export async function install(lacking: readonly Lacking[]): Promise<string[]> {
  const names: string[] = []
  for (const any of lacking) names.push(...(await firstOffered(any)))
  const lean = names.filter((name) => !withRecomrepaired.includes(name))
  const whole = names.filter((name) => withRecomrepaired.includes(name))
  if (lean.length > 0) await aptGet('install', '--no-install-recommends', ...lean)
  if (whole.length > 0) await aptGet('install', ...whole)
  return names
}

async function firstOffered(any: Lacking): Promise<string[]> {
  for (const name of any) if (await isOffered(name)) return [name]
  return []
}

/** Asked per package, because one unknown name makes apt-get install nothing. */
async function isOffered(name: string): Promise<boolean> {
  return (await sh`apt-get -qq --simulate install ${name}`).exitCode === 0
}

/** Fail2ban needs packages that it only recommends, to read the journal and to ban. */
const withRecomrepaired = ['fail2ban']

/** Ubuntu has no tailscale package: add Tailscale's own repository, as its page for Ubuntu says. */
async function installTailscale(): Promise<string[]> {
  if (await isOffered('tailscale')) return install([tailscale])
  const release = (await must(sh`. /etc/os-release && echo "$ID/$VERSION_CODENAME"`)).trim()
  const address = `https://pkgs.tailscale.com/stable/${release}`
  await must(sh`curl -fsSL -o /usr/share/keyrings/tailscale-archive-keyring.gpg ${address}.noarmor.gpg`)
  await must(sh`curl -fsSL -o /etc/apt/sources.list.d/tailscale.list ${address}.tailscale-keyring.list`)
  await aptGet('update')
  return install([tailscale])
}

/**
 * Runs apt-get without questions and keeps existing configuration files. Finishes an interrupted dpkg
 * if apt asks for it. Waits up to ten minutes for locks: a new instance updates itself, and apt's own timeout
 * covers only dpkg's lock. Throws with apt's message.
 */
export async function aptGet(...args: string[]): Promise<void> {
  const end = Date.now() + 600_000
  for (let repaired = false; ; ) {
    const { exitCode, stdout, stderr } = await sh`${asRoot()} apt-get -qq -y ${options} ${args}`
    if (exitCode === 0) return
    const said = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join(' ')
    if (!repaired && said.includes('dpkg --configure -a')) {
      repaired = true
      await sh`${asRoot()} dpkg --force-confdef --force-confold --configure -a`
    } else if (/could not get lock|unable to (?:lock|acquire)/i.test(said) && Date.now() < end) {
      await sleep(2000)
    } else {
      throw new Error(`apt-get ${args.join(' ')}: ${said || `exit ${exitCode}`}`)
    }
  }
}

/** Prefix for a command that needs root. */
export function asRoot(): string[] {
  return process.getuid?.() === 0 ? [] : ['sudo', '-n']
}

const options = [
  'DPkg::Lock::Timeout=600',
  'Dpkg::Options::=--force-confdef',
  'Dpkg::Options::=--force-confold',
].map((option) => `-o${option}`)
