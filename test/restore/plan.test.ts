import { describe, expect, test } from 'vitest'
import { localHost } from '../../lib/hosts/local.ts'
import { type BucketName, buckets, items, type RestoreSource } from '../../lib/inventory.ts'
import { type Findings, makeRestorePlan } from '../../lib/restore/plan.ts'
import { type RestoreRequest, selectForRestore } from '../../lib/restore/request.ts'
import type { Site } from '../../lib/restore/site.ts'
import { stepsOf } from '../../lib/restore/steps.ts'
import type { Offer } from '../../lib/restore-order.ts'
import { readSettings } from '../../lib/settings.ts'

const now = new Date('2026-11-24T10:00:00Z')
const keys = { R2_ACCESS_KEY_ID: 'i', R2_SECRET_ACCESS_KEY: 's' }
const request = (over: Partial<RestoreRequest> = {}): RestoreRequest => ({
  prefer: 'order',
  withModels: false,
  withContainers: false,
  skipSfs: false,
  ...over,
})
const copy = (source: RestoreSource, day: string, over: Partial<Offer> = {}): Offer => ({
  source,
  kind: 'recorded',
  key: `x-2026-11-${day}.tar.gz`,
  time: new Date(`2026-11-${day}T05:00:00Z`),
  environment: 'production',
  bytes: 1000,
  record: { sha256: 'a'.repeat(64), archive: `x-2026-11-${day}.tar.gz` },
  ...over,
})
const bare = (source: RestoreSource, day: string): Offer => {
  const { record: _, ...rest } = copy(source, day)
  return { ...rest, kind: 'unrecorded' }
}

interface World {
  offers?: Record<string, Offer[]>
  away?: [RestoreSource, string][]
  env?: Record<string, string>
  request?: Partial<RestoreRequest>
}
function planOf({ offers = {}, away = [], env = {}, request: over = {} }: World) {
  const settings = readSettings({ ...keys, ...env })
  const asked = request(over)
  const selected = selectForRestore(asked, settings)
  // A source that is away is so for all of its buckets.
  const all = (reason: string) =>
    new Map((Object.keys(buckets) as BucketName[]).map((bucket) => [bucket, reason]))
  const findings: Findings = {
    offers: new Map(Object.entries(offers)),
    away: new Map(away.map(([source, reason]) => [source, all(reason)])),
  }
  return makeRestorePlan(selected, asked, findings, settings, '/', now)
}
const only = (item: string, world: Omit<World, 'offers'> & { offers?: Offer[] } = {}) => {
  const { offers = [], request: over, ...rest } = world
  const plan = planOf({ ...rest, offers: { [item]: offers }, request: { only: [item], ...over } })
  return { ...plan, item: plan.items.find((one) => one.item === item) }
}

test('law 10: the same arguments give the same plan, and no secret is in it', () => {
  const world = { offers: { env: [copy('sfs', '24')] }, env: { TAILSCALE_AUTHKEY: 'very-secret' } }
  expect(planOf(world)).toEqual(planOf(world))
  expect(JSON.stringify(planOf(world))).not.toContain('very-secret')
})

describe('notes, in the order in which they matter', () => {
  test('nothing to say', () => {
    expect(only('env', { offers: [copy('sfs', '24'), copy('r2', '24')] }).notes).toEqual([])
  })

  test('missing, then newer, then unverified, then what was not looked at', () => {
    const { notes } = planOf({
      request: { only: ['tailscale', 'ufw', 'fail2ban', 'env'] },
      offers: {
        ufw: [copy('sfs', '20'), copy('r2', '24')],
        fail2ban: [bare('sfs', '22')],
        env: [copy('sfs', '24')],
      },
      away: [['mello', 'mello: there is no /root/backups']],
    })
    expect(notes).toEqual([
      'MISSING tailscale: no usable copy in root, sfs, r2; not looked at: mello',
      'NEWER ufw: r2 has one of 2026-11-24T05:00Z, sfs the one of 2026-11-20T05:00Z that is taken; --prefer newest takes the other',
      'UNVERIFIED fail2ban: x-2026-11-22.tar.gz in sfs has no record; only that it is whole can be checked',
      'NOT LOOKED AT mello: mello: there is no /root/backups',
    ])
  })

  test('a recorded copy elsewhere is newer than one without a record, whose own time is not told', () => {
    expect(only('env', { offers: [bare('root', '24'), copy('r2', '20')] }).notes[0]).toBe(
      'NEWER env: r2 has one of 2026-11-20T05:00Z, root the one without a record that is taken; --prefer newest takes the other',
    )
  })

  test('copies with which something is the matter are told, and not those that are only not asked for', () => {
    const offers = [
      copy('sfs', '25'),
      copy('sfs', '24', { flaw: 'is gone: only its record is there' }),
      copy('r2', '23', { flaw: 'has 3 bytes, and its record says 4' }),
      copy('sfs', '22'),
      copy('sfs', '20'),
    ]
    expect(only('env', { offers }).notes).toEqual([
      expect.stringMatching(/^PASSED OVER env: x-2026-11-25.tar.gz in sfs is from the future: .*date -u/),
      'PASSED OVER env: x-2026-11-24.tar.gz in sfs is gone: only its record is there',
      'PASSED OVER env: x-2026-11-23.tar.gz in r2 has 3 bytes, and its record says 4',
    ])
    const at = new Date('2026-11-21T23:59:59.999Z')
    expect(only('env', { offers: offers.slice(1), request: { at } }).notes).toEqual([])
  })

  test('a source that no item asked for has is not spoken of', () => {
    expect(only('user-outputs', { offers: [copy('r2', '24')], away: [['sfs', 'hangs']] }).notes).toEqual([])
  })

  test('a first deployment is told so, and what to do', () => {
    const { notes } = planOf({ offers: {} })
    expect(notes[0]).toMatch(/^NO BACKUP of anything was found.*git clone "\$PROJECT_REPO"/)
    expect(notes.filter((note) => note.startsWith('MISSING'))).not.toEqual([])
    expect(planOf({ offers: { ufw: [copy('sfs', '24')] } }).notes[0]).toMatch(/^MISSING/)
  })

  test('copies that are passed over are no first deployment', () => {
    const at = new Date('2026-11-19T23:59:59.999Z')
    const { notes } = only('env', { offers: [copy('sfs', '24')], request: { at } })
    expect(notes).toEqual([expect.stringMatching(/^MISSING env: .*1 passed over/)])
  })

  test('models and repositories alone are no first deployment', () => {
    expect(only('models').notes).toEqual([])
    expect(only('credentials').notes).toEqual([])
  })
})

describe('an item', () => {
  test('has its candidates in their order', () => {
    const { item } = only('env', { offers: [copy('r2', '24'), copy('sfs', '23'), copy('sfs', '24')] })
    expect(item?.candidates.map(({ source, key }) => `${source} ${key}`)).toEqual([
      'sfs x-2026-11-24.tar.gz',
      'r2 x-2026-11-24.tar.gz',
      'sfs x-2026-11-23.tar.gz',
    ])
  })

  test('that --at leaves without a copy says which the oldest is', () => {
    const { item } = only('env', {
      offers: [copy('sfs', '24'), copy('sfs', '20')],
      request: { at: new Date('2026-11-19T23:59:59.999Z') },
    })
    expect(item?.missing).toBe(
      'no usable copy in root, sfs, r2, mello; 2 passed over, the oldest of 2026-11-20T05:00Z: is later than 2026-11-19T23:59:59.999Z',
    )
  })

  test('whose sources the flags leave out is left out, which is no failure', () => {
    const { item, notes } = only('user-data', { request: { from: ['sfs'] } })
    expect(item).toMatchObject({
      leftOut: 'comes from r2, hetzner alone, which the flags leave out',
      candidates: [],
    })
    expect(item?.missing).toBeUndefined()
    expect(notes).toEqual([])
  })

  test.each(['nginx', 'ssl', 'scripts'])('%s is optional: without a copy it is left out', (name) => {
    const { item, notes } = only(name)
    expect(item?.leftOut).toMatch(/^no usable copy in .*; it is optional$/)
    expect(notes.filter((note) => note.startsWith('MISSING'))).toEqual([])
  })

  test.each(
    items.filter((item) => !['nginx', 'ssl', 'scripts', 'models', 'credentials'].includes(item.name)),
  )('$name without a copy is missing', ({ name }) => {
    const { item, notes } = only(name)
    expect(item?.missing).toMatch(/^no usable copy in /)
    expect(notes.join('\n')).toContain(`MISSING ${name}: `)
  })

  test('credentials without a repository are left out, and the setting is named', () => {
    expect(only('credentials').item?.leftOut).toMatch(/^CREDENTIALS_REPO is not set/)
    const offers: Offer[] = [{ source: 'git', kind: 'repository', key: 'HEAD', environment: 'production' }]
    const { item, notes } = only('credentials', { offers, env: { CREDENTIALS_REPO: 'git@example:c' } })
    expect(item?.candidates).toEqual(offers)
    expect(notes).toEqual([])
  })

  test.each(['tailscale', 'ssh-host-keys'])(
    'on staging, %s of production is left out unless it is named',
    (name) => {
      const env = { ENVIRONMENT: 'staging' }
      const offers = { [name]: [copy('sfs', '24')] }
      const find = (plan: ReturnType<typeof planOf>) => plan.items.find(({ item }) => item === name)
      const unnamed = planOf({ env, offers })
      expect(find(unnamed)?.leftOut).toMatch(
        /identity of production, and this is staging: name the item in --only/,
      )
      expect(find(unnamed)?.missing).toBeUndefined()
      expect(find(planOf({ env, offers, request: { only: [name] } }))?.candidates).toHaveLength(1)
      const mixed = planOf({
        env,
        offers: { [name]: [copy('sfs', '24'), copy('r2', '20', { environment: 'staging' })] },
      })
      expect(find(mixed)?.candidates.map(({ environment }) => environment)).toEqual(['staging'])
    },
  )

  test('models have no candidates and are not missing', () => {
    expect(only('models').item).toMatchObject({ kind: 'models', candidates: [], passed: [] })
    expect(only('models').item?.missing).toBeUndefined()
  })
})

describe('every item of the inventory has its step', () => {
  const site = (root: string, over: Partial<RestoreRequest> = {}): Site => {
    const asked = request({ withModels: true, withContainers: true, ...over })
    const settings = readSettings({ ...keys, CREDENTIALS_REPO: 'c', SCRIPTS_REPO: 's', PROJECT_REPO: 'p' })
    const selected = selectForRestore(asked, settings)
    const offers = new Map(items.map(({ name }) => [name, [copy('sfs', '24')]]))
    const plan = makeRestorePlan(selected, asked, { offers, away: new Map() }, settings, root, now)
    return {
      plan,
      request: asked,
      settings,
      root,
      drill: root !== '/',
      sources: [],
      away: new Map(),
      host: localHost({ name: 'verda', root }),
      aside: `${root}/aside`,
      outcomes: new Map(),
      watch: {} as Site['watch'],
    }
  }
  const stepsFor = (...args: Parameters<typeof site>) => stepsOf(site(...args))
  const position = (steps: ReturnType<typeof stepsOf>, name: string) =>
    steps.findIndex((step) => step.name === name)

  test.each(['/', '/tmp/drill'])('restored to %s', (root) => {
    const covered = stepsFor(root).flatMap((step) => step.items)
    expect([...covered].sort()).toEqual(items.map(({ name }) => name).sort())
  })

  test.each(items)('$name alone', ({ name }) => {
    for (const root of ['/', '/tmp/drill'])
      expect(
        stepsFor(root, { only: [name], withModels: false, withContainers: false }).flatMap(
          (step) => step.items,
        ),
      ).toEqual(name === 'user-data' ? ['user-data', 'user-outputs'] : [name])
  })

  test('a drill has no step but those of items', () => {
    expect(stepsFor('/tmp/drill').every((step) => step.items.length > 0)).toBe(true)
  })

  test('law 8, and what else depends on an order', () => {
    const steps = stepsFor('/')
    const order = [
      'sfs',
      'packages',
      'tailscale',
      'ssh-host-keys',
      'user',
      'env',
      'credentials',
      'user-data',
      'home-dev',
      'crontab',
    ]
    const found = order.map((name) => position(steps, name))
    expect(found).not.toContain(-1)
    expect(found).toEqual([...found].sort((a, b) => a - b))
  })

  test('what is stopped or restarted is named before it happens', () => {
    const titles = Object.fromEntries(stepsFor('/').map(({ name, title }) => [name, title]))
    expect(titles.tailscale).toMatch(/stops tailscaled/)
    expect(titles.fail2ban).toMatch(/restarts fail2ban/)
    expect(titles['ssh-host-keys']).toMatch(/reloads ssh/)
    expect(titles.ufw).toMatch(/enables the firewall/)
  })
})
