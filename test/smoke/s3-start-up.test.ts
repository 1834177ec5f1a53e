import path from 'node:path'
import { execa } from 'execa'
import { expect, it } from 'vitest'
import { bench, bucket } from '../stores/s3-bench.ts'

/** A process of its own: what it loads and prints at its start. */

it("has nothing of the SDK's own notices in it", async () => {
  const { server } = await bench()
  const { endpoint, region, accessKeyId, secretAccessKey } = server
  const access = { name: 'r2', endpoint, region, accessKeyId, secretAccessKey, bucket }
  const script = `
    const { s3Store } = await import(${JSON.stringify(path.resolve('lib/stores/s3/store.ts'))})
    const store = s3Store(${JSON.stringify(access)})
    await store.probe()
    await store.close()
    console.log('done')`
  const { stdout, stderr } = await execa('node', ['--import', 'tsx', '--input-type=module', '--eval', script])
  expect(stdout).toBe('done')
  expect(stderr).toBe('')
})

it('is reached without loading the SDK until a store is used', async () => {
  const script = `
    const { s3Store } = await import(${JSON.stringify(path.resolve('lib/stores/s3/store.ts'))})
    s3Store({ name: 'r2', endpoint: 'http://127.0.0.1:9', region: 'auto', bucket: 'b', accessKeyId: 'a', secretAccessKey: 's' })
    const { registerHooks, createRequire } = await import('node:module')
    const loaded = Object.keys(createRequire(process.cwd() + '/').cache)
    console.log(loaded.filter((file) => file.includes('@aws-sdk')).length)`
  const { stdout } = await execa('node', ['--import', 'tsx', '--input-type=module', '--eval', script])
  expect(stdout).toBe('0')
})
