import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startSshd } from '../../servers/sshd.ts'
import { startTcpProxy, type TcpProxy } from '../../servers/tcp-proxy.ts'
import type { Kind } from '../round.ts'
import type { World } from '../world.ts'

/** Mello loses Verda halfway: a real ssh connection is cut, stalled or corrupted, or its server killed. */
export const sshLost: Kind = {
  name: 'ssh-lost',
  weight: 6,
  needs: 'sshd',
  commands: ['backup-verda'],
  async inject(round) {
    const { world, random } = round
    const sshd = await startSshd(['root'])
    const proxy = await startTcpProxy(sshd.port)
    try {
      const how = random.pick(['cut', 'reset', 'flip', 'stall', 'killed', 'slow'] as const)
      const direction = random.pick(['up', 'down'] as const)
      const after = 3000 + random.below(random.pick([6000, 60_000, 400_000]))
      const delay = 500 + random.below(1500)
      if (how === 'cut' || how === 'reset' || how === 'flip') proxy.spoil({ direction, after, how })
      if (how === 'slow') proxy.slow(1 + random.below(10))
      const onStart = () => {
        if (how === 'stall') void sleep(delay).then(() => stallFor(proxy, 1500))
        if (how === 'killed') void sleep(delay).then(() => sshd.cut())
      }
      const run = await round.run({ onStart, env: throughSsh(world, sshd.config(), proxy.port) })
      const what = `ssh ${how} ${how === 'stall' || how === 'killed' ? `after ${delay} ms` : `${direction} at byte ${after}`}`
      return { runs: [run], what, tooLate: ['cut', 'reset', 'flip'].includes(how) && proxy.heal() > 0 }
    } finally {
      await proxy.close()
      await sshd.stop()
    }
  },
}

async function stallFor(proxy: TcpProxy, ms: number): Promise<void> {
  proxy.stall()
  await sleep(ms)
  proxy.resume()
}

/** Settings that put Verda behind real ssh, to this world's server. */
function throughSsh(world: World, configuration: string, port: number): Record<string, string> {
  const folder = path.join(world.folder, 'bin')
  mkdirSync(folder, { recursive: true })
  const options = `-F ${configuration} -o Port=${port} -o HostKeyAlias=verda -o StrictHostKeyChecking=no -o UserKnownHostsFile=${folder}/known_hosts`
  writeFileSync(path.join(folder, 'ssh'), `#!/bin/sh\nexec /usr/bin/ssh ${options} "$@"\n`)
  chmodSync(path.join(folder, 'ssh'), 0o755)
  writeFileSync(path.join(folder, 'known_hosts'), '')
  return { VERDA_SSH: 'root', PATH: `${folder}:${process.env.PATH}` }
}
