import { randomBytes } from 'node:crypto'
import {
  appendFile,
  chmod,
  chown,
  link,
  lutimes,
  mkdir,
  open,
  rename,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import path from 'node:path'

/** What no backup of the small Verda includes, as paths below its root: it can be recreated. */
export const leftOut = ['/home/dev/.cache', '/home/dev/comfyume-v1/node_modules', '/root/.npm']

/** The users' files, on Mello and on an instance that has a copy. */
export const usersData = '/home/dev/comfyume-v1/data'

/** Builds a small Verda's files below `root`, including kinds that archives often lose. */
export async function buildVerda(root: string): Promise<void> {
  const inside = (file: string) => path.join(root, file)
  async function put(file: string, content: string | Buffer, mode = 0o644): Promise<void> {
    await mkdir(path.dirname(inside(file)), { recursive: true })
    await writeFile(inside(file), content, { mode })
    await chmod(inside(file), mode)
  }

  const state = {
    _machinekey: randomBytes(32).toString('base64'),
    '_current-profile': Buffer.from('profile-1').toString('base64'),
    'profile-1': randomBytes(1500).toString('base64'),
  }
  await put('/var/lib/tailscale/tailscaled.state', JSON.stringify(state), 0o600)
  await put('/etc/ssh/ssh_host_ed25519_key', randomBytes(400).toString('base64'), 0o600)
  await put('/etc/ssh/ssh_host_ed25519_key.pub', 'ssh-ed25519 AAAA root@verda\n')
  await put('/etc/fail2ban/jail.local', '[sshd]\nenabled = true\n')
  await put('/etc/ufw/user.rules', '*filter\nCOMMIT\n', 0o640)
  await put('/etc/nginx/sites-available/workshop', 'server { listen 443 ssl; }\n')
  await mkdir(inside('/etc/nginx/sites-enabled'))
  await symlink('../sites-available/workshop', inside('/etc/nginx/sites-enabled/workshop'))
  await put('/etc/letsencrypt/archive/workshop/privkey1.pem', randomBytes(1700).toString('base64'), 0o600)
  await put('/home/dev/comfyume-v1/.env', "ADMIN_PASSWORD='pa$$word'\n", 0o600)
  await put('/home/dev/comfyume-v1/docker-compose.yml', 'services: {}\n')
  await put('/home/dev/comfyume-v1/models.list', randomBytes(200_000).toString('hex'))
  await put('/home/dev/bin/start', '#!/bin/bash\nexec docker compose up\n', 0o4755)
  await put('/home/dev/.zsh_history', 'ls\n', 0o600)
  await put('/root/.ssh/authorized_keys', 'ssh-ed25519 AAAA someone\n', 0o600)
  await put('/root/notes.txt', 'This is written down nowhere else.\n')
  await put('/opt/comfyume-backup/package.json', '{ "name": "comfyume-backup" }\n')
  await put('/opt/comfyume-backup/.env', 'ENVIRONMENT=production\n', 0o600)
  await put('/opt/comfyume-backup/bin/node', randomBytes(100_000), 0o755)

  await put('/home/dev/odd/two  spaces and a\ttab', 'spaces')
  await put('/home/dev/odd/a\nnewline', 'newline')
  await put('/home/dev/odd/-rf', 'a name like a flag')
  await put('/home/dev/odd/$(reboot) *?[a] \\ "\'', 'a name like a command')
  await writeFile(Buffer.concat([Buffer.from(inside('/home/dev/odd/caf')), Buffer.from([0xe9])]), 'not UTF-8')
  await put('/home/dev/odd/empty file', '')
  await mkdir(inside('/home/dev/odd/empty folder'))
  await mkdir(inside('/home/dev/odd/for everyone'))
  await chmod(inside('/home/dev/odd/for everyone'), 0o1777)
  await symlink('nowhere/at all', inside('/home/dev/odd/dangling link'))
  await lutimes(inside('/home/dev/odd/dangling link'), 1_000_000_000, 1_000_000_000)
  await link(inside('/home/dev/comfyume-v1/models.list'), inside('/home/dev/odd/second name of models.list'))
  await put('/home/dev/odd/from 1999', 'old')
  await utimes(inside('/home/dev/odd/from 1999'), 946_684_799, 946_684_799)
  await putSparse(inside('/home/dev/odd/sparse'), 16 << 20)

  for (const folder of leftOut) await put(`${folder}/again/and/again`, randomBytes(50_000))
  if (process.getuid?.() === 0) {
    await chown(inside('/home/dev/comfyume-v1/docker-compose.yml'), 1000, 1000)
    await chown(inside('/home/dev/odd/empty folder'), 33, 33)
    await chown(inside('/home/dev/odd/from 1999'), 4242, 2424)
  }
}

/** A day's work: people edit, create, rename and remove files; once a week the configuration changes too. */
export async function workADay(root: string, day: number): Promise<void> {
  const workflows = path.join(root, 'home/dev/comfyume-v1/workflows')
  await mkdir(workflows, { recursive: true })
  await writeFile(path.join(workflows, `day ${day}.json`), randomBytes(3000).toString('hex'))
  if (day > 0)
    await rename(path.join(workflows, `day ${day - 1}.json`), path.join(workflows, 'yesterday.json'))
  if (day % 7 === 3)
    await writeFile(path.join(root, 'etc/nginx/sites-available/workshop'), `# week ${day / 7}\n`)
}

/** An hour's work. */
export async function workAnHour(root: string): Promise<void> {
  await appendFile(path.join(root, 'home/dev/.zsh_history'), 'docker compose ps\n')
}

/** A sparse file with a few bytes in the middle. */
async function putSparse(file: string, bytes: number): Promise<void> {
  const handle = await open(file, 'w')
  await handle.truncate(bytes)
  await handle.write('in the middle of nothing', bytes / 2)
  await handle.close()
}
