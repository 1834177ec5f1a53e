import { type Finding, NotChecked, ok, warning, wrong } from '../../cli/finding.ts'
import { commandSeconds } from '../../hosts/host.ts'
import type { ObjectStoreName } from '../../stores/open.ts'
import { secondsInWords } from '../../text.ts'
import type { Check, Checks, Context, Findings } from '../context.ts'
import { keySettings, namedObjectStores } from '../object-stores.ts'

/** Names and records come from the clock. Servers refuse requests that are 15 minutes off. */
const mostSeconds = 120

export const clock: Checks = ({ on, settings, settingProblems }) => [
  {
    name: 'time zone',
    what: 'that this server runs in UTC, as cron needs it, and that its clock is synchronized',
    check: checkZone,
  },
  ...(on === 'mello'
    ? [
        {
          name: 'verda',
          what: "this machine's clock against Verda's",
          uses: ['VERDA_SSH'],
          check: checkVerda,
        },
      ]
    : []),
  ...namedObjectStores(settings, settingProblems).map(checkAgainst),
]

async function checkVerda({ host, settings }: Context): Promise<Findings> {
  const verda = await host('verda')
  if (settings.verdaSsh === 'local') return ok('is this machine (VERDA_SSH is local)')
  const before = Date.now()
  const { stdout } = await verda.$`date +%s.%N`
  return [judgeDifference(Number(stdout) * 1000 - (before + Date.now()) / 2, 'Verda')]
}

/** Compares with the Date header of a store's answer. */
function checkAgainst(name: ObjectStoreName): Check {
  return {
    name,
    what: `this machine's clock against that of the server of ${name}`,
    uses: keySettings(name),
    async check({ objectStores }) {
      const { aheadMs } = await objectStores.greet(name).catch(() => {
        throw new NotChecked(
          `the server of ${name} does not answer`,
          'fix this first: comfyume-backup doctor --only stores',
        )
      })
      if (aheadMs !== undefined) return [judgeDifference(aheadMs, `the server of ${name}`)]
      return warning(`the server of ${name} gives no time`, 'compare date -u with a clock that you trust')
    },
  }
}

async function checkZone({ here }: Context): Promise<Findings> {
  const { stdout } = await here.run(script, [], { timeout: commandSeconds })
  const lines = stdout.toString().split('\n')
  const said = new Map(lines.map((line) => line.split('=') as [string, string]))
  return judgeZone(said.get('Timezone') ?? '', said.get('Offset') ?? '', said.get('NTPSynchronized'))
}

/** TZ may be set for this process, but cron uses the system's zone. */
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
        `is ${zone || offset}: cron uses it, and every schedule here is in UTC`,
        'timedatectl set-timezone UTC, then systemctl restart cron',
      ),
    ]
  if (synchronized === 'yes') return [ok(`${zone || 'UTC'}, and a time server sets the clock`)]
  const todo = 'timedatectl set-ntp true; see timedatectl timesync-status'
  const found =
    synchronized === 'no'
      ? 'does not set this clock'
      : 'may or may not set this clock: timedatectl does not say'
  return [ok(zone || 'UTC'), warning(found, todo, 'time server')]
}

function judgeDifference(aheadMs: number, whose: string): Finding {
  const seconds = Math.abs(aheadMs) / 1000
  const said = `${secondsInWords(seconds)} ${aheadMs < 0 ? 'behind' : 'ahead of'} this machine's`
  if (seconds <= mostSeconds)
    return ok(seconds < 2 ? `the clock of ${whose} shows the same` : `the clock of ${whose} is ${said}`)
  return wrong(
    `the clock of ${whose} is ${said}: names and records depend on it`,
    'find out which one is wrong (timedatectl on both), and set it: timedatectl set-ntp true',
  )
}
