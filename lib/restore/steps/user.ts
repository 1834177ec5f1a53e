import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { boundMemory, chooseDecompressor } from '../../capture/compressor.ts'
import { bash, start } from '../../hosts/process.ts'
import { has, must, sh } from '../../hosts/shell.ts'
import { runAgain } from '../../text.ts'
import { plannedItem, type RestoreContext, type Step } from '../context.ts'
import { openOffer, wholeOf } from '../files/copy.ts'

const name = 'dev'
const home = '/home/dev'
/** Only those that exist. */
const groups = ['sudo', 'docker']

/** The workshop's user, with its number from the backup: archives store owners by number. */
export function userStep(context: RestoreContext): Step {
  let wanted: Owner | undefined
  return {
    name: 'user',
    title: `User ${name}, with the number that its files have, in the groups ${groups.join(' and ')}`,
    items: [],
    async done() {
      wanted = await ownerInBackup(context)
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

/** The first member of a whole archive of /home/dev is that folder itself. */
async function ownerInBackup(context: RestoreContext): Promise<Owner | undefined> {
  const offer = plannedItem(context, 'home-dev')?.candidates[0]
  if (offer === undefined) return undefined
  const owner = await openOffer(context, 'home-dev', wholeOf(offer)).then(ownerOfFirst, () => undefined)
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

const becomesRoot = `for the backups from Mello it must become root without one (docs/setup.md, "Mello")`

async function renumber(is: Owner, owner: Owner): Promise<void> {
  await mustBeFree(owner.uid)
  await mustBeIdle(is.uid, owner.uid)
  await must(sh`groupmod -o -g ${owner.gid} ${name}`)
  // usermod also renumbers the files in the user's home.
  await must(sh`usermod -u ${owner.uid} -g ${owner.gid} ${name}`)
  // With -execdir no one can redirect chown by swapping a folder.
  await must(sh`find ${home} -xdev -uid ${is.uid} -execdir chown -h ${name} {} +`)
  await must(sh`find ${home} -xdev -gid ${is.gid} -execdir chgrp -h ${name} {} +`)
}

async function mustBeFree(uid: number): Promise<void> {
  const [holder] = (await sh`getent passwd ${uid}`).stdout.split(':')
  if (!holder) return
  const [group, , , members] = (await sh`getent group ${uid}`).stdout.trim().split(':')
  const groupToo = group === holder && !members ? ` && groupmod -g 60001 ${group}` : ''
  throw new Error(
    `in the backup ${name} has number ${uid}, which here is ${holder}'s, so the files of ${name} belong to ${holder} for now: ` +
      `give that user another one (usermod -u 60001 ${holder}${groupToo}), then ${runAgain()}`,
  )
}

/** usermod refuses while the user is logged in, and by then other changes are made. */
async function mustBeIdle(uid: number, wanted: number): Promise<void> {
  const { exitCode, stdout } = await sh`pgrep --euid ${uid} --list-name`
  if (exitCode !== 0) return
  throw new Error(
    `${name} has number ${uid} here and ${wanted} in the backup, and cannot change it while it is logged in or runs something ` +
      `(${stdout.trim().split('\n').slice(0, 3).join(', ')}), so its files belong to number ${wanted} for now: ` +
      `log in as root instead, or end that (loginctl terminate-user ${name}), then ${runAgain()}`,
  )
}

async function lackingGroups(): Promise<string[]> {
  const has = (await sh`id -nG ${name}`).stdout.trim().split(' ')
  const lacking: string[] = []
  for (const group of groups)
    if (!has.includes(group) && (await sh`getent group ${group}`).exitCode === 0) lacking.push(group)
  return lacking
}

export interface Owner {
  uid: number
  gid: number
}

/** The owner of an archive's first member; reads only the beginning. Undefined when unknown. */
export async function ownerOfFirst(body: Readable): Promise<Owner | undefined> {
  const child = await start(bash(script), { ignore: ['stderr'] })
  // The reader stops after one line, so a broken pipe is expected.
  const fed = pipeline(body, child.stdin).catch(() => {})
  const line = await text(child.stdout)
  body.destroy()
  await fed
  const [, uid, gid] = /^\S+ (\d+)\/(\d+) /.exec(line) ?? []
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

const script = `
${chooseDecompressor}
"\${decompressor[@]}" 2>/dev/null | (${boundMemory}; exec tar --list --verbose --numeric-owner) 2>/dev/null | head -n 1
`
