import { execFileSync } from 'node:child_process'
import { type Life, liveThrough } from './world-life.ts'

/**
 * One world in a process of its own, which prints a line of JSON for each round. Where it may mount, it is started in namespaces of its own: whatever it mounts or
 * starts is gone when it is, however it ends.
 */
const life = JSON.parse(process.argv[2] as string) as Life
// The campaign holds the other end: when it is gone, so is this.
process.stdin.on('end', () => process.exit(1)).resume()
if (life.mounts)
  for (const folder of [life.folder, '/run/lock'])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', folder])
await liveThrough(life, (result) => process.stdout.write(`${JSON.stringify(result)}\n`))
process.exit(0)
