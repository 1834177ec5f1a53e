import { main } from '../lib/cli/main.ts'
import { demoCommand, demoManual } from '../lib/demo/demo.ts'

await main(demoManual, demoCommand)
