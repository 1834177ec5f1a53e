import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { folderOf, Machine } from './machine.ts'

/** That a machine here loses what a real one loses: all other scenarios with a cut of the power rest on it. */
const folder = folderOf('power')
const hostDisk = path.join(folder, 'host.img')
execFileSync('mkfs.ext4', ['-q', '-L', 'host', hostDisk, '8M'])
const machine = new Machine('mello', { folder, port: 20_000, hostDisk })
afterAll(async () => {
  await machine.cut()
  machine.destroy()
})

test('what was flushed survives a cut of the power, and what was not is lost', async () => {
  machine.prepare('echo prepared >/root/prepared')
  await machine.boot()
  expect(await machine.do('cat /root/prepared; systemctl start ssh; systemctl is-active cron ssh')).toBe(
    'prepared\nactive\nactive\n',
  )
  await machine.do('echo kept >/root/kept && sync && echo lost >/root/lost')
  await machine.cut()
  expect(machine.readFromDisk('/root/kept')).toBe('kept\n')
  expect(machine.readFromDisk('/root/lost')).toBe('')
})

test('a machine without power starts again, and its orders fail in between', async () => {
  await machine.boot()
  expect(await machine.run('cat /root/kept /root/lost')).toMatchObject({ code: 1, stdout: 'kept\n' })
  const failed = expect(machine.run('sleep 1000')).rejects.toThrow('its power went off')
  await machine.off()
  await failed
})
