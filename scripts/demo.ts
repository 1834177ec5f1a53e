import { main } from '../lib/cli/main.ts'
import { demoManual } from '../lib/demo/manual.ts'

await main(demoManual, async (flags) => (await import('../lib/demo/demo.ts')).demoCommand(flags))
