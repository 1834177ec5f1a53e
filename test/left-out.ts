import { readdirSync } from 'node:fs'
import path from 'node:path'

/** Run by vitest around `npm test`: says at the end, by name, what was left out, so that nobody takes it for everything. */
export default function aroundAllTests(): () => void {
  return () => {
    const files = readdirSync(path.join(import.meta.dirname, 'real')).filter((name) =>
      name.endsWith('.test.ts'),
    )
    const names = files.map((name) => `test/real/${name}`).join(', ')
    process.stdout.write(`Left out, because they need real servers and tools: ${names}\n`)
    process.stdout.write(
      'They run with: npm run test:real (.ci/install, .ci/install-s3, .ci/install-tailnet and .ci/install-machine bring what they need)\n',
    )
  }
}
