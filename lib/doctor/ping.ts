import { once } from 'node:events'
import { connect as connectPlain, isIP } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { type Check, type Finding, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { isInTheClear } from './in-the-clear.ts'

export const pingChecks: readonly Check[] = [
  {
    group: 'ping',
    name: 'service',
    what: 'that the service of BACKUP_PING_URL can be reached; nothing is sent, because everything would count as a ping',
    uses: ['BACKUP_PING_URL'],
    check: checkService,
  },
]

async function checkService({ settings }: Context): Promise<Finding[]> {
  if (settings.pingUrl === undefined)
    return [
      warning(
        'BACKUP_PING_URL is not set: nobody is told when a backup fails, or never starts',
        'make checks at healthchecks.io (or a server of its kind), and set the address that they have in common',
      ),
    ]
  // The path is the key to the service: only the host may be shown.
  const { protocol, hostname, port } = new URL(settings.pingUrl.reveal())
  const where = { host: hostname, port: Number(port || (protocol === 'https:' ? 443 : 80)) }
  const seconds = 10
  const socket =
    protocol === 'https:'
      ? connectTls({ ...where, ...(isIP(hostname) === 0 && { servername: hostname }) })
      : connectPlain(where)
  try {
    await once(socket, protocol === 'https:' ? 'secureConnect' : 'connect', {
      signal: AbortSignal.timeout(seconds * 1000),
    })
    const reached = `${hostname} can be reached; whether it knows the checks only a run can show`
    if (!isInTheClear(settings.pingUrl.reveal())) return [ok(reached)]
    return [
      warning(
        `${reached}. It is asked over plain http: whoever sits between can read the address, and ping in our place`,
        'let BACKUP_PING_URL begin with https://',
      ),
    ]
  } catch (error) {
    const { code = 'no answer', name } = error as NodeJS.ErrnoException
    const why = name === 'AbortError' ? `no answer within ${seconds} s` : code
    return [
      wrong(
        `${hostname}:${where.port} cannot be reached (${why}): runs go on, but nobody is told how they end`,
        'see BACKUP_PING_URL, the name service and the firewall (ufw status)',
      ),
    ]
  } finally {
    socket.destroy()
  }
}
