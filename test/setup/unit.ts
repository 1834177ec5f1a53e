import { Server } from 'node:net'
import { refuseProcesses } from './refuse.ts'

const belongs = 'it is no unit test: take it out of `unit` in test/projects.ts'

/** A unit test starts no process and no server. */
refuseProcesses(() => true, belongs)
Server.prototype.listen = () => {
  throw new Error(`this test must not start a server: ${belongs}`)
}
