import {
  appendFileSync,
  lstatSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { listOf } from '../oracle/records.ts'
import { type Kind, later, said } from '../round.ts'

/**
 * Between two runs a good copy on the share or Mello rots: a bit, its end, its record, an increment's list,
 * or all of it.
 * It must never be offered as good or cost another good copy, and the next day's run must store a good one.
 */
export const corruption: Kind = {
  name: 'corruption-at-rest',
  weight: 6,
  commands: ['backup-cron', 'backup-cron', 'backup-verda'],
  async inject(round) {
    const { world, oracle, random, asked, command } = round
    const store = command === 'backup-cron' ? 'sfs' : 'mello'
    const root = store === 'sfs' ? world.verda.cache : world.disks.mello
    const items = Object.keys(asked)
    // An increment has a list, which can rot too.
    if (store === 'mello' && items.includes('home-dev'))
      for (const minutes of [0, 60]) {
        round.now = later(round.now, minutes)
        world.change('home-dev', random)
        world.settle()
        world.witness(round.now)
        await round.run()
        await oracle.accept()
      }
    const good = oracle.good().filter((backup) => backup.store === store && items.includes(backup.item))
    const newest = [...good].sort((a, b) => (a.time < b.time ? 1 : -1))[0]
    const victim = random.chance(0.6) ? newest : good.length > 0 ? random.pick(good) : undefined
    if (victim === undefined)
      return { runs: [await round.run()], what: 'nothing there to rot', tooLate: true }
    const archive = path.join(root, victim.key)
    const hows = ['bit', 'bit', 'end', 'longer', 'gone', 'record-bit', 'record-gone']
    const how = random.pick(
      victim.links.length === 0 ? hows : [...hows, ...['bit', 'end', 'gone'].map((one) => `list-${one}`)],
    )
    // Links share their bytes: damage to one is damage to all.
    const inode = (key: string) => lstatSync(path.join(root, key)).ino
    const alike = good.filter(({ key }) => inode(key) === inode(victim.key))
    const broken = how === 'gone' || /^(record|list)-/.test(how) ? [victim] : alike
    for (const { key } of broken) world.damaged.add(`${store} ${key}`)
    rot(archive, how, random.next())
    if (how === 'record-gone' && store === 'sfs') world.foreign.add(`sfs ${victim.key}`)
    await oracle.accept()

    // Verify must find it; restore must skip it.
    const problems: string[] = []
    const env = { BACKUP_NOW: later(round.now, -1) }
    const verify = await world.run('verify', ['--json', '--store', store, '--only', victim.item], { env })
    const record = how === 'record-gone'
    const checked = (JSON.parse(verify.stdout || '{"checked":[]}').checked ?? []) as {
      key: string
      status: string
    }[]
    for (const { key } of broken) {
      const status = checked.find((one) => one.key === key)?.status
      if (status === 'good' || (status === 'unverified' && !record))
        problems.push(`verify calls ${key} (${how}) ${status}`)
    }
    if (!record && how !== 'gone' && verify.code !== 1)
      problems.push(
        `verify ended with ${verify.code} though ${victim.key} (${how}) is damaged: ${said(verify)}`,
      )
    round.now = later(round.now, 24 * 60)
    world.witness(round.now)
    const run = await round.run()
    // While a damaged copy must stay, nothing is rotated: a person does what the run says.
    if (run.stdout.includes('move it away together with its .sha256')) {
      for (const { key } of broken) {
        if (!run.stdout.includes(key)) continue
        for (const file of [key, `${key}.sha256`]) rmSync(path.join(root, file), { force: true })
      }
    }
    return { runs: [run], what: `${how} of ${store} ${victim.key}`, problems }
  },
}

function rot(archive: string, what: string, where: number): void {
  const how = what.replace('list-', '')
  const file = how.startsWith('record') ? `${archive}.sha256` : how === what ? archive : listOf(archive)
  const content = readFileSync(file)
  const at = Math.floor(where * content.length)
  if (how === 'end') truncateSync(file, at)
  else if (how === 'longer') appendFileSync(file, 'more')
  else if (how === 'bit') {
    content[at] = (content[at] as number) ^ 1
    writeInPlace(file, content)
  } else if (how === 'record-bit') {
    // In the digest, the part that matters.
    const text = content.toString()
    const digest = text.search(/^[0-9a-f]{64} /m) + (at % 64)
    writeInPlace(
      file,
      Buffer.from(`${text.slice(0, digest)}${text[digest] === '0' ? '1' : '0'}${text.slice(digest + 1)}`),
    )
  } else unlinkSync(file)
}

/** Keeps the inode, like real disk rot. */
function writeInPlace(file: string, content: Buffer): void {
  writeFileSync(file, content, { flag: 'r+' })
}
