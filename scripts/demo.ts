import { main } from '../lib/cli/main.ts'
import { demoCommand } from '../lib/demo/demo.ts'

await main('demo', () => demoCommand(process.argv.slice(2)))
