import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { toolkitFolder } from './toolkit.ts'

/** The content of a running Verda besides the files it shares with the demo's: repositories, and scripts for a machine. */

export const address = '100.89.38.43'
/** As in the README's first command. */
export const shareAddress = 'nfs.fin-01.datacrunch.io:/SFS-prod'

/** What the README asks to write down before the day of a restore. */
export const toolkitSettings = `
SFS_PROD=${shareAddress}
PROJECT_REPO=/srv/git/project
CREDENTIALS_REPO=/srv/git/credentials
`

/** File properties that an archive may lose, and the usual content of a home. */
export const homes = `
set -e
chown -R -h dev:dev /home/dev
cd /home/dev/odd
chown 33:33 'empty folder'
chown 4242:2424 'from 1999'
setfacl -m u:33:rw,g:2424:r 'from 1999'
setfacl -m d:u:33:rwx,d:o::- 'empty folder'
setfattr -n user.kind -v note 'a
newline'
setfattr -n user.kind -v folder .
cp /bin/true capable
setfattr -n security.capability -v 0x0100000202040000000000000000000000000000 capable
mkfifo 'a fifo'
touch -h -d '2001-02-03 04:05:06.123456789' 'dangling link' 'a fifo'
chmod 4755 /home/dev/bin/start
cd ../comfyume-v1
git -c safe.directory='*' clone --quiet --no-checkout /srv/git/project /tmp/clone
mv /tmp/clone/.git .
git -c safe.directory='*' reset --quiet
git -c safe.directory='*' checkout --quiet -- nginx
echo 'nobody committed this' >notes
mkdir -p nginx logs
touch logs/access.log
chown -R dev: .git notes nginx logs
install -d -m 700 -o dev -g dev /home/dev/.ssh
echo 'ssh-ed25519 AAAAdev somebody' >/home/dev/.ssh/authorized_keys
chown dev: /home/dev/.ssh/authorized_keys
chmod 600 /home/dev/.ssh/authorized_keys
cd /etc/letsencrypt
mkdir -p live/workshop
ln -s ../../archive/workshop/privkey1.pem live/workshop/privkey.pem
`

/** Real services, if the image has them. */
export const services = `
set -e
rm /etc/ssh/ssh_host_*
ssh-keygen -q -A
mkdir -m 700 /var/lib/tailscale /var/lib/tailscale/files
umask 077
echo '{"key":"of Verda","address":"${address}"}' >/var/lib/tailscale/tailscaled.state
echo '{}' >/var/lib/tailscale/derpmap.cached.json
umask 022
apt-get update
apt-get install -y tailscale
cat >/etc/fail2ban/jail.local <<'end'
[DEFAULT]
bantime = 2h
[sshd]
enabled = true
backend = polling
maxretry = 3
[comfyume]
enabled = true
backend = polling
filter = apache-auth
logpath = /home/dev/comfyume-v1/logs/access.log
end
systemctl enable --now fail2ban
for rule in 'from 100.64.0.0/10 to any port 22' 443/tcp 'from 100.64.0.0/10 to any port 8188'; do ufw allow $rule; done
ufw --force enable
fail2ban-client status | grep -q sshd
tailscale ip -4 | grep -qx ${address}
crontab ${toolkitFolder}/crontab/verda
`

/** The project's and the credentials' repositories. */
export function layRepositories(folder: string): void {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...args], {
      cwd: folder,
      stdio: 'pipe',
    })
  const commit = (name: string, files: Record<string, string>) => {
    git('init', '--quiet', '--initial-branch=main', name)
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(folder, name, file)), { recursive: true })
      writeFileSync(path.join(folder, name, file), content)
    }
    git('-C', name, 'add', '--all')
    git('-C', name, 'commit', '--quiet', '-m', name)
  }
  commit('project', { 'docker-compose.yml': 'services: {}\n', 'nginx/nginx.conf': 'events {}\n' })
  commit('credentials', { '.env': 'PASSWORD=of Mello\n', 'nginx/.htpasswd': 'user001:$apr1$hash\n' })
}
