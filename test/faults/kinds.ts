import { changingSources } from './kinds/changing-sources.ts'
import { clock } from './kinds/clock.ts'
import { corruption } from './kinds/corruption.ts'
import { crowd } from './kinds/crowd.ts'
import { diskFull } from './kinds/disk-full.ts'
import { failingCall } from './kinds/failing-call.ts'
import { failingSystem } from './kinds/failing-system.ts'
import { killedAtCall } from './kinds/killed-at-call.ts'
import { killedAtMoment } from './kinds/killed-at-moment.ts'
import { killedAtRequest } from './kinds/killed-at-request.ts'
import { killedChild } from './kinds/killed-child.ts'
import { readOnly } from './kinds/read-only.ts'
import { s3Answers } from './kinds/s3-answers.ts'
import { s3Away } from './kinds/s3-away.ts'
import { s3Wire } from './kinds/s3-wire.ts'
import { sshLost } from './kinds/ssh-lost.ts'
import { wrongClock } from './kinds/wrong-clock.ts'
import type { Random } from './random.ts'
import type { Kind } from './round.ts'

export const kinds: readonly Kind[] = [
  killedAtCall,
  killedAtMoment,
  killedAtRequest,
  killedChild,
  failingCall,
  diskFull,
  readOnly,
  s3Answers,
  s3Wire,
  s3Away,
  clock,
  crowd,
  sshLost,
  corruption,
  changingSources,
  failingSystem,
  wrongClock,
]

/** Picks a kind at random, by weight. */
export function pickKind(among: readonly Kind[], random: Random): Kind {
  let left = random.next() * among.reduce((sum, { weight }) => sum + weight, 0)
  for (const kind of among) {
    left -= kind.weight
    if (left < 0) return kind
  }
  return among[0] as Kind
}
