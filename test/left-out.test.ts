import { readdirSync } from 'node:fs'
import path from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'

test('npm test says by name what it leaves out, and how to run that', async () => {
  const { stdout } = await execa('npm', ['test', '--', 'test/inventory.test.ts'], {
    cwd: path.resolve(import.meta.dirname, '..'),
  })
  const real = readdirSync(path.join(import.meta.dirname, 'real')).filter((name) => name.endsWith('.test.ts'))
  expect(real.length).toBeGreaterThan(2)
  for (const name of real) expect(stdout).toContain(`test/real/${name}`)
  expect(stdout).toContain('npm run test:real')
  expect(stdout).toContain('Left out, project e2e: ')
  expect(stdout).toContain('test/life/life.test.ts')
  expect(stdout).toContain('npm run test:all')
  expect(stdout).not.toContain('test/scripts/backup-cron.test.ts')
})
