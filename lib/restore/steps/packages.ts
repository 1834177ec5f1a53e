import type { Site } from '../site.ts'
import type { Step } from '../step.ts'
import { has, must, sh } from '../system.ts'

/** What the workshop and its backups need of Ubuntu's packages. */
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

/** Installs what is missing. tailscaled is masked before: a package starts its service, and a tailscaled without its identity takes another address (law 8). */
export function packagesStep(site: Site): Step {
  return {
    name: 'packages',
    title: 'Packages that are missing; tailscaled masked, so that installing it does not start it',
    items: [],
    async done() {
      return (await missing(site)).length === 0 ? 'all there' : undefined
    },
    async do() {
      const lacking = await missing(site)
      const others = lacking.filter((name) => name !== 'tailscale')
      const withTailscale = lacking.includes('tailscale')
      if (withTailscale) await must(sh`systemctl mask tailscaled`)
      // What an earlier run was cut off in; until then apt refuses everything.
      await sh`dpkg --configure -a`
      await must(sh`apt-get update -qq`)
      if (others.length > 0) await install(others)
      if (withTailscale && !(await isOffered('tailscale'))) await addTailscalesOwn()
      if (withTailscale) await install(['tailscale'])
      return { said: `installed ${lacking.join(', ')}`, changed: true }
    },
    async check() {
      const lacking = await missing(site)
      if (lacking.length > 0)
        throw new Error(`still missing: ${lacking.join(', ')}: apt-get install ${lacking.join(' ')}`)
    },
  }
}

async function missing({ settings, plan }: Site): Promise<string[]> {
  const { stdout } = await sh`dpkg --get-selections`
  const installed = new Set([...stdout.matchAll(/^([^\s:]+)\S*\s+install$/gm)].map(([, name]) => name))
  const engine = settings.containerEngine ?? ((await has('docker')) || (await has('podman')) ? '' : 'docker')
  const images = plan.items.some(({ kind }) => kind === 'image')
  return [
    ...packages.filter((name) => !installed.has(name)),
    ...((await has('tailscaled')) ? [] : ['tailscale']),
    ...(images && engine === 'docker' && !(await has('docker')) ? ['docker.io', 'docker-compose-v2'] : []),
  ]
}

/** Waits for the upgrades that a new instance makes by itself, up to five minutes. */
async function install(names: readonly string[]): Promise<void> {
  await must(sh`apt-get -oDPkg::Lock::Timeout=300 install -qq -y --no-install-recommends ${names}`)
}

async function isOffered(name: string): Promise<boolean> {
  const { stdout } = await sh`apt-cache policy ${name}`
  return /Candidate: (?!\(none\))/.test(stdout)
}

/** Ubuntu has no package of tailscale: its makers' own repository, added as their page for Ubuntu says. */
async function addTailscalesOwn(): Promise<void> {
  const release = (await must(sh`. /etc/os-release && echo "$ID/$VERSION_CODENAME"`)).trim()
  const address = `https://pkgs.tailscale.com/stable/${release}`
  await must(sh`curl -fsSL -o /usr/share/keyrings/tailscale-archive-keyring.gpg ${address}.noarmor.gpg`)
  await must(sh`curl -fsSL -o /etc/apt/sources.list.d/tailscale.list ${address}.tailscale-keyring.list`)
  await must(sh`apt-get update -qq`)
}
