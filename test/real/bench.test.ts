import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'

test('npm run bench measures this project beside its peers, and writes tables and a plot', async () => {
  const out = await mkdtemp(path.join(tmpdir(), 'bench-out-'))
  try {
    const asked = [
      '--only',
      'start-up,capture',
      '--gb',
      '0.02',
      '--rounds',
      '1',
      '--before',
      'no-such-commit',
    ]
    const { stdout } = await execa('npm', ['run', '--silent', 'bench', '--', ...asked, '--out', out])
    expect(stdout).toMatch(/^\| \*\*backup-cron\*\* \| \d+\.\d+ \| \d+\.\d+ \| .* record of SHA-256 \|$/m)
    expect(stdout).toMatch(/^\| tar czf file \| \d+\.\d+ \|/m)
    expect(stdout).toMatch(/^\| \*\*status --wrong\*\* \| \d+\.\d+ \|.* exit 2 \|$/m)
    expect(stdout).toContain('There is no no-such-commit here to compare with')
    expect(readFileSync(path.join(out, 'bench.md'), 'utf8').trim()).toBe(stdout)
    expect(readFileSync(path.join(out, 'bench.svg'), 'utf8')).toContain('>backup-cron</text>')
    expect(
      JSON.parse(readFileSync(path.join(out, 'bench.json'), 'utf8')).capture.tables[0].rows,
    ).toHaveLength(8)
  } finally {
    await rm(out, { recursive: true })
  }
})
