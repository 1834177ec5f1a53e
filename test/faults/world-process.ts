import { execFileSync } from 'node:child_process'
import { type Life, liveThrough } from './world-life.ts'

/**
 * One world in its own process, which prints a line of JSON per round. If it may mount, it runs in its own
 * namespaces, so its mounts and processes vanish with it, however it ends.
 */
const life = JSON.parse(process.argv[2] as string) as Life
// The campaign holds the other end: when the campaign ends, so does this process.
process.stdin.on('end', () => process.exit(1)).resume()
if (life.mounts)
  for (const folder of [life.folder, '/run/lock'])
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', folder])
await liveThrough(life, (result) => process.stdout.write(`${JSON.stringify(result)}\n`))
process.exit(0)
