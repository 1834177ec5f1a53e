import { readdirSync } from 'node:fs'
import path from 'node:path'
import { expect, test, vi } from 'vitest'
import type { Program } from '../../lib/cli/main.ts'

/** Every help page as it is printed, so that a change of words is seen in review. */

const scripts = path.resolve(import.meta.dirname, '../../scripts')
const commands = readdirSync(scripts).flatMap((name) => /^(.*)\.ts$/.exec(name)?.[1] ?? [])

test.each(commands)('%s --help', async (command) => {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true)
  try {
    const program: Program = (await import(path.join(scripts, `${command}.ts`))).default
    expect(await program(['-h'])).toBe(0)
    const printed = write.mock.calls.map(([text]) => text).join('')
    await expect(printed).toMatchFileSnapshot(`help/${command}.txt`)
  } finally {
    write.mockRestore()
  }
})
