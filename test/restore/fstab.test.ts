import { expect, test } from 'vitest'
import { fstabWith } from '../../lib/restore/steps/share.ts'

const line = 'nfs.example:/prod /mnt/sfs nfs rw,hard,nofail,_netdev 0 0'

test.each([
  ['an empty file', '', `${line}\n`],
  ['other entries stay', 'UUID=1 / ext4 defaults 0 1\n', `UUID=1 / ext4 defaults 0 1\n${line}\n`],
  ['the same entry is not written twice', `# own\n${line}\n`, `# own\n${line}\n`],
  [
    'an entry of before the share was renamed stays as a comment',
    'nfs.example:/old /mnt/sfs nfs defaults 0 0\n',
    `# before the restore: nfs.example:/old /mnt/sfs nfs defaults 0 0\n${line}\n`,
  ],
  ['a comment that names the mount point is none', '# x /mnt/sfs\n', `# x /mnt/sfs\n${line}\n`],
  ['another mount point is another one', 'a:/b /mnt/sfs2 nfs x 0 0', `a:/b /mnt/sfs2 nfs x 0 0\n${line}\n`],
])('fstab: %s', (_name, before, after) => {
  expect(fstabWith(before, '/mnt/sfs', line)).toBe(after)
})
