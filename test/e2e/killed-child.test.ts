import path from 'node:path'
import { expect, test } from 'vitest'
import { run } from '../../lib/hosts/process.ts'

test('who waits for a child that was killed gets to know its end, also when nothing else keeps the process', async () => {
  const module = path.resolve('lib/hosts/process.ts')
  const code = `
    const { start } = await import('${module}')
    const child = await start(['sleep', '1000'], { group: true })
    child.kill()
    console.log((await child.ended).signal)`
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', code]
  expect(await run(node)).toEqual({ exitCode: 0, stdout: 'SIGKILL', stderr: '' })
})
