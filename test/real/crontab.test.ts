import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCrontab } from '../crontab-file.ts'
import { addUser } from '../servers/sshd.ts'

let user: ReturnType<typeof addUser>
beforeAll(() => {
  user = addUser({ sudo: false })
})
afterAll(() => user.remove())

test.each(['verda', 'mello'])('cron takes crontab/%s and gives it back as it is', (name) => {
  const { file } = readCrontab(name)
  crontab(file)
  try {
    expect(crontab('-l')).toBe(readFileSync(file, 'utf8'))
  } finally {
    crontab('-r')
  }
})

test('cron refuses what is no crontab', () => {
  expect(() => crontab(import.meta.filename)).toThrow('bad')
})

function crontab(argument: string): string {
  return execFileSync('crontab', ['-u', user.name, argument], { encoding: 'utf8', stdio: 'pipe' })
}
