import { openOffer } from '../bring-back.ts'
import { type Owner, ownerOfFirst } from '../first-member.ts'
import { plannedItem, type Site } from '../site.ts'
import type { Step } from '../step.ts'
import { has, must, sh } from '../system.ts'

const name = 'dev'
const home = '/home/dev'
/** Of those that are there. */
const groups = ['sudo', 'docker']

/** The user whose home the workshop lies in, with the number that its files have in the backup: archives tell owners by number. */
export function userStep(site: Site): Step {
  let wanted: Owner | undefined
  return {
    name: 'user',
    title: `User ${name}, with the number that its files have, in the groups ${groups.join(' and ')}`,
    items: [],
    async done() {
      wanted = await ownerInBackup(site)
      const is = await ownerHere()
      return is !== undefined &&
        (await lackingGroups()).length === 0 &&
        (wanted === undefined || wanted.uid === is.uid)
        ? `${name} is there, number ${is.uid}`
        : undefined
    },
    async do() {
      const is = await ownerHere()
      if (is === undefined) await add(wanted)
      else if (wanted !== undefined && is.uid !== wanted.uid) await renumber(is, wanted)
      for (const group of await lackingGroups()) await must(sh`usermod -aG ${group} ${name}`)
      const number = `${name} has number ${(await ownerHere())?.uid}`
      return { said: is === undefined ? `${number}, and no password: ${becomesRoot}` : number, changed: true }
    },
  }
}

/** The first member of the archive of /home/dev is that folder itself. */
async function ownerInBackup(site: Site): Promise<Owner | undefined> {
  const offer = plannedItem(site, 'home-dev')?.candidates[0]
  if (offer === undefined) return undefined
  const owner = await openOffer(site, 'home-dev', offer).then(ownerOfFirst, () => undefined)
  return owner?.uid === 0 ? undefined : owner
}

async function ownerHere(): Promise<Owner | undefined> {
  const [, , uid, gid] = (await sh`getent passwd ${name}`).stdout.trim().split(':')
  return uid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

async function add(owner: Owner | undefined): Promise<void> {
  const shell = (await has('zsh')) ? '/usr/bin/zsh' : '/bin/bash'
  if (owner !== undefined) {
    await mustBeFree(owner.uid)
    const { stdout } = await sh`getent group ${name}`
    if (stdout === '') await must(sh`groupadd -o -g ${owner.gid} ${name}`)
  }
  const numbers = owner === undefined ? ['-U'] : ['-u', String(owner.uid), '-g', name]
  await must(sh`useradd -m -d ${home} -s ${shell} ${numbers} ${name}`)
  await must(sh`chown -h ${name}: ${home}`)
}

const becomesRoot = `for the backups from Mello it must become root without one (README, "Set up on Verda")`

async function renumber(is: Owner, owner: Owner): Promise<void> {
  await mustBeFree(owner.uid)
  await mustBeIdle(is.uid, owner.uid)
  await must(sh`groupmod -o -g ${owner.gid} ${name}`)
  // usermod also gives the user's home its new number.
  await must(sh`usermod -u ${owner.uid} -g ${owner.gid} ${name}`)
  await must(sh`find ${home} -xdev -uid ${is.uid} -exec chown -h ${name} {} +`)
  await must(sh`find ${home} -xdev -gid ${is.gid} -exec chgrp -h ${name} {} +`)
}

async function mustBeFree(uid: number): Promise<void> {
  const [holder] = (await sh`getent passwd ${uid}`).stdout.split(':')
  if (!holder) return
  const [group, , , members] = (await sh`getent group ${uid}`).stdout.trim().split(':')
  const groupToo = group === holder && !members ? ` && groupmod -g 60001 ${group}` : ''
  throw new Error(
    `in the backup ${name} has number ${uid}, which here is ${holder}'s: give that user another one (usermod -u 60001 ${holder}${groupToo}), then run this again. ` +
      `Until then the files of ${name} belong to ${holder}`,
  )
}

/** usermod refuses while the user is logged in, and then it is too late to leave all as it was. */
async function mustBeIdle(uid: number, wanted: number): Promise<void> {
  const { exitCode, stdout } = await sh`pgrep --euid ${uid} --list-name`
  if (exitCode !== 0) return
  throw new Error(
    `${name} has number ${uid} here and ${wanted} in the backup, and cannot be given it while it is logged in or runs something ` +
      `(${stdout.trim().split('\n').slice(0, 3).join(', ')}): log in as root in its place, or end that (loginctl terminate-user ${name}), then run this again. Until then ` +
      `the files of ${name} belong to number ${wanted}`,
  )
}

async function lackingGroups(): Promise<string[]> {
  const has = (await sh`id -nG ${name}`).stdout.trim().split(' ')
  const lacking: string[] = []
  for (const group of groups)
    if (!has.includes(group) && (await sh`getent group ${group}`).exitCode === 0) lacking.push(group)
  return lacking
}
