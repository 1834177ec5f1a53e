import { secondsInWords } from '../cli/words.ts'
import type { ObjectStoreName } from '../stores/open.ts'
import { type Check, type Finding, NotChecked, ok, warning, wrong } from './check.ts'
import type { Context } from './context.ts'
import { keySettings } from './object-store-access.ts'

/** Names and records are made from the clock; servers refuse requests that are 15 minutes off. */
const mostSeconds = 120

export const clockChecks: readonly Check[] = [
  {
    group: 'clock',
    name: 'time zone',
    what: 'that this server is in UTC, as cron needs it, and is set by a time server',
    check: checkZone,
  },
]

export const clockChecksOnMello: readonly Check[] = [
  {
    group: 'clock',
    name: 'verda',
    what: "this machine's clock against Verda's",
    uses: ['VERDA_SSH'],
    async check({ host, settings }: Context): Promise<Finding[]> {
      const verda = await host('verda')
      if (settings.verdaSsh === 'local') return [ok('is this machine (VERDA_SSH is local)')]
      const before = Date.now()
      const { stdout } = await verda.run('date +%s.%N', [], { timeout: 20 })
      return [judgeDifference(Number(stdout) * 1000 - (before + Date.now()) / 2, 'Verda')]
    },
  },
]

/** Against the Date header of a store's answer. */
export function clockCheckAgainst(name: ObjectStoreName): Check {
  return {
    group: 'clock',
    name,
    what: `this machine's clock against that of the server of ${name}`,
    uses: keySettings(name),
    async check({ objectStores }: Context): Promise<Finding[]> {
      const greeting = await objectStores.greet(name).catch(() => {
        throw new NotChecked(`the server of ${name} does not answer`, `mend "stores ${name} server" first`)
      })
      if (greeting.aheadMs === undefined)
        throw new NotChecked(`the server of ${name} tells no time`, 'compare by hand: date -u, and a clock')
      return [judgeDifference(greeting.aheadMs, `the server of ${name}`)]
    },
  }
}

async function checkZone({ here }: Context): Promise<Finding[]> {
  const { stdout } = await here.run(script, [], { timeout: 20 })
  const said = Object.fromEntries(
    stdout
      .toString()
      .split('\n')
      .map((line) => line.split('=') as [string, string | undefined]),
  )
  return judgeZone(said.Timezone ?? '', said.Offset ?? '', said.NTPSynchronized)
}

/** TZ may be set for this process; cron goes by the system's own zone. */
const script = `
timedatectl show --property=Timezone --property=NTPSynchronized 2>/dev/null ||
  printf 'Timezone=%s\\n' "$(readlink -f /etc/localtime | sed -n 's,^.*/zoneinfo/,,p')"
printf 'Offset=%s\\n' "$(env -u TZ date +%z)"
`

/** A zone that is at +0000 only in winter is not UTC. Pure. */
export function judgeZone(zone: string, offset: string, synchronized: string | undefined): Finding[] {
  const isUtc =
    zone === '' ? offset === '+0000' : /^(?:Etc\/)?(?:UTC|UCT|Universal|Zulu|GMT|Greenwich)$/.test(zone)
  if (!isUtc)
    return [
      wrong(
        `is ${zone || offset}: cron goes by it, and every schedule here is in UTC`,
        'timedatectl set-timezone UTC, then systemctl restart cron',
      ),
    ]
  const findings = [ok(zone || 'UTC')]
  if (synchronized === 'no')
    findings.push(
      warning(
        'is not set by a time server',
        'timedatectl set-ntp true; see timedatectl timesync-status',
        'time server',
      ),
    )
  return findings
}

function judgeDifference(aheadMs: number, whose: string): Finding {
  const seconds = Math.abs(aheadMs) / 1000
  const said = `${secondsInWords(seconds)} ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine's`
  if (seconds <= mostSeconds)
    return ok(seconds < 2 ? `the clock of ${whose} shows the same` : `the clock of ${whose} is ${said}`)
  return wrong(
    `the clock of ${whose} is ${said}: names and records are made from it`,
    'see which of the two is wrong (timedatectl on both), and set it: timedatectl set-ntp true',
  )
}
