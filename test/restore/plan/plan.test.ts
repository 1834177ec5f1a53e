import { describe, expect, test } from 'vitest'
import { localHost } from '../../../lib/hosts/local.ts'
import { type BucketName, buckets, items, type RestoreSource } from '../../../lib/inventory.ts'
import type { RestoreContext } from '../../../lib/restore/context.ts'
import { type Findings, makeRestorePlan } from '../../../lib/restore/plan/plan.ts'
import type { PlannedModel } from '../../../lib/restore/plan/planned.ts'
import { type RestoreRequest, selectForRestore } from '../../../lib/restore/plan/request.ts'
import type { RestoreReport } from '../../../lib/restore/report.ts'
import { noteTexts, reportJson } from '../../../lib/restore/show.ts'
import { stepsOf } from '../../../lib/restore/steps/index.ts'
import type { Offer } from '../../../lib/restore-order.ts'
import { readSettings } from '../../../lib/settings/settings.ts'

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
  record: { sha256: day.padEnd(64, '0'), archive: `x-2026-11-${day}.tar.gz` },
  ...over,
})
const bare = (source: RestoreSource, day: string): Offer => {
  const { record: _, ...rest } = copy(source, day)
  return { ...rest, kind: 'unrecorded' }
}
const own = (source: RestoreSource, day: string, over: Partial<Offer> = {}) =>
  copy(source, day, { environment: 'staging', ...over })
const model = (how: PlannedModel['how']): PlannedModel => ({
  path: 'vae/a.safetensors',
  bytes: 9,
  how,
  from: 'sfs',
})

interface World {
  offers?: Record<string, Offer[]>
  unreachable?: [RestoreSource, string][]
  models?: PlannedModel[]
  env?: Record<string, string>
  request?: Partial<RestoreRequest>
}
function planOf({ offers = {}, unreachable = [], models, env = {}, request: over = {} }: World) {
  const settings = readSettings({ ...keys, ...env })
  const asked = request(over)
  const selected = selectForRestore(asked, settings)
  // A source that is away is so for all of its buckets.
  const all = (reason: string) =>
    new Map((Object.keys(buckets) as BucketName[]).map((bucket) => [bucket, { text: reason }]))
  const findings: Findings = {
    offers: new Map(Object.entries(offers)),
    unreachable: new Map(unreachable.map(([source, reason]) => [source, all(reason)])),
    ...(models ? { models } : {}),
  }
  const plan = makeRestorePlan(selected, asked, findings, settings, '/', now)
  return { ...plan, notes: noteTexts(plan) }
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

  test('missing, not looked at, in the way, newer, passed over, unverified, not its own', () => {
    const { notes } = planOf({
      env: { ENVIRONMENT: 'staging' },
      request: {
        only: ['tailscale', 'ufw', 'fail2ban', 'env', 'nginx', 'home-dev', 'models'],
      },
      offers: {
        ufw: [own('sfs', '20'), own('r2', '24')],
        fail2ban: [{ ...bare('sfs', '22'), environment: 'staging' }],
        env: [own('sfs', '24')],
        nginx: [own('sfs', '24', { flaw: 'is gone: only its record is there' }), own('r2', '24')],
        'home-dev': [copy('sfs', '24')],
      },
      models: [model('in the way')],
      unreachable: [['mello', 'mello: there is no /root/backups']],
    })
    expect(notes).toEqual([
      'MISSING tailscale: no usable copy in root, sfs, r2; mello not looked at',
      'NOT LOOKED AT mello: there is no /root/backups',
      'IN THE WAY models: another file size is at vae/a.safetensors and is left alone: move it away',
      'NEWER ufw: r2 has a copy from 2026-11-24T05:00Z; the one from 2026-11-20T05:00Z in sfs is used. To use the newer one: comfyume-backup restore --prefer newest --only ufw',
      'SKIPPED nginx: x-2026-11-24.tar.gz in sfs is gone: only its record is there',
      'UNVERIFIED fail2ban: the copy in sfs has no record, so a restore can only check that it is whole',
      'NOT ITS OWN home-dev: the copy of production is used, because staging has none',
    ])
  })

  test('the same reason is told once, of all items that it holds for', () => {
    const { notes } = planOf({
      request: { only: ['tailscale', 'ufw', 'fail2ban', 'user-data'] },
      offers: { ufw: [bare('sfs', '22')], fail2ban: [bare('sfs', '21')] },
    })
    expect(notes).toEqual([
      'MISSING tailscale: no usable copy in root, sfs, r2, mello',
      'MISSING user-data, user-outputs: no usable copy in r2',
      'UNVERIFIED fail2ban, ufw: the copy in sfs has no record, so a restore can only check that it is whole',
    ])
  })

  test('a recorded copy elsewhere is newer than one without a record, whose own time is not told', () => {
    expect(only('env', { offers: [bare('root', '24'), copy('r2', '20')] }).notes[0]).toBe(
      'NEWER env: r2 has a copy from 2026-11-20T05:00Z; one without a record in root is used. To use the newer one: comfyume-backup restore --prefer newest --only env',
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
      'SKIPPED env: x-2026-11-24.tar.gz in sfs is gone: only its record is there; ' +
        'x-2026-11-23.tar.gz in r2 has 3 bytes, and its record says 4; ' +
        'a copy in sfs is dated in the future: check the clock of this machine (date -u), which is wrong now or was wrong then',
    ])
    const inVain = [
      copy('sfs', '24'),
      copy('sfs', '22', { flaw: 'is gone' }),
      copy('r2', '24', { flaw: 'is gone' }),
    ]
    expect(only('env', { offers: inVain }).notes, 'of less use than the one that is taken').toEqual([])
    const at = new Date('2026-11-21T23:59:59.999Z')
    expect(only('env', { offers: offers.slice(1), request: { at } }).notes).toEqual([])
  })

  test('a source that no item asked for has is not spoken of', () => {
    expect(
      only('user-outputs', { offers: [copy('r2', '24')], unreachable: [['sfs', 'hangs']] }).notes,
    ).toEqual([])
  })

  test('a first deployment is told so, and what to do', () => {
    const { notes } = planOf({ offers: {} })
    expect(notes[0]).toMatch(/^NO BACKUP was found.*git clone "\$PROJECT_REPO"/)
    expect(notes.filter((note) => note.startsWith('MISSING'))).not.toEqual([])
    expect(planOf({ offers: { ufw: [copy('sfs', '24')] } }).notes[0]).toMatch(/^MISSING/)
  })

  test('copies that are passed over are no first deployment', () => {
    const at = new Date('2026-11-19T23:59:59.999Z')
    const { notes } = only('env', { offers: [copy('sfs', '24')], request: { at } })
    expect(notes).toEqual([
      'MISSING env: no usable copy in root, sfs, r2, mello; the oldest is from 2026-11-24T05:00Z, later than --at',
    ])
    for (const over of [{ request: { at } }, {}]) {
      const offers = { env: [copy('sfs', '24', over.request ? {} : { flaw: 'is gone' })] }
      expect(planOf({ offers, ...over }).notes[0]).toMatch(/^MISSING /)
    }
  })

  test('nor is one where models are there, and an item asked for by name is none', () => {
    const nothing = planOf({ request: { withModels: true } }).notes
    expect(nothing[0]).toMatch(/^NO BACKUP was found/)
    const { notes } = planOf({ request: { withModels: true }, models: [model('download')] })
    expect(notes[0]).toMatch(/^MISSING /)
    expect(only('models').notes).toEqual(['MISSING models: no usable copy in sfs, r2'])
    expect(only('env').notes).toEqual(['MISSING env: no usable copy in root, sfs, r2, mello'])
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
      'no usable copy in root, sfs, r2, mello; the oldest is from 2026-11-20T05:00Z, later than --at',
    )
  })

  test('whose sources the flags leave out is left out, which is no failure', () => {
    const offers = { env: [copy('sfs', '24')] }
    const { items: planned } = planOf({ offers, request: { from: ['sfs'] } })
    const item = planned.find((one) => one.item === 'user-outputs')
    expect(item).toMatchObject({
      leftOut: 'comes only from r2, hetzner, which the flags leave out',
      candidates: [],
    })
    expect(item?.missing).toBeUndefined()
  })

  test('whose sources the flags leave out, and that is asked for by its own name, is missing', () => {
    const { item, notes } = only('fail2ban', { request: { from: ['git'] } })
    const why = 'comes only from root, sfs, r2, hetzner, mello, which the flags leave out'
    expect(item).toMatchObject({ missing: why, candidates: [] })
    expect(item?.leftOut).toBeUndefined()
    expect(notes).toEqual([`MISSING fail2ban: ${why}`])
  })

  describe.each(['nginx', 'ssl', 'scripts'])('%s is optional:', (name) => {
    const inPlan = (world: World) => {
      const plan = planOf(world)
      const noted = plan.notes.some((note) => /^MISSING /.test(note) && note.includes(name))
      const { leftOut, missing } = plan.items.find(({ item }) => item === name) ?? {}
      expect(noted, 'told at the top').toBe(missing !== undefined)
      return { leftOut, missing }
    }
    const sources = 'root, sfs, r2, mello'

    test('without a copy it is left out', () => {
      const why = { leftOut: `it is optional; no usable copy in ${sources}`, missing: undefined }
      expect(inPlan({})).toEqual(why)
    })

    test('at a time when there was none yet it is left out', () => {
      const at = new Date('2026-11-19T23:59:59.999Z')
      expect(inPlan({ offers: { [name]: [copy('sfs', '24')] }, request: { at } })).toEqual({
        leftOut: `it is optional; no usable copy in ${sources}; the oldest is from 2026-11-24T05:00Z, later than --at`,
        missing: undefined,
      })
    })

    test('asked for by its own name it is missing', () => {
      expect(inPlan({ request: { only: [name] } })).toEqual({
        leftOut: undefined,
        missing: `no usable copy in ${sources}`,
      })
    })

    test('where no store could be looked at it is missing', () => {
      const unreachable = (['sfs', 'r2', 'mello'] as const).map((source): [RestoreSource, string] => [
        source,
        'hangs',
      ])
      expect(inPlan({ unreachable })).toEqual({
        leftOut: undefined,
        missing: 'no usable copy in root; sfs, r2, mello not looked at',
      })
      expect(inPlan({ unreachable: unreachable.slice(1) }).missing, 'one was').toBeUndefined()
    })

    test('with a copy that is no good it is missing', () => {
      const offers = { [name]: [copy('sfs', '24', { flaw: 'is gone: only its record is there' })] }
      expect(inPlan({ offers })).toEqual({
        leftOut: undefined,
        missing: `no usable copy in ${sources}; x-2026-11-24.tar.gz in sfs is gone: only its record is there`,
      })
      expect(inPlan({ offers: { [name]: [copy('sfs', '25')] } }).missing).toMatch(
        /in sfs is dated in the future: /,
      )
    })
  })

  test.each(
    items.filter((item) => !['nginx', 'ssl', 'scripts', 'models', 'credentials'].includes(item.name)),
  )('$name without a copy is missing', ({ name }) => {
    const { item, notes } = only(name)
    expect(item?.missing).toMatch(/^no usable copy in /)
    // What is missing for the same reason is told in one line.
    const named = name === 'user-data' ? 'user-data, user-outputs' : name
    expect(notes).toEqual([`MISSING ${named}: ${item?.missing}`])
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

  test('models have no candidates and are not missing, but are planned one by one', () => {
    const models = [model('link'), model('download')]
    const { item, notes } = only('models', { models })
    expect(item).toMatchObject({ kind: 'models', candidates: [], passed: [], models })
    expect(item?.missing).toBeUndefined()
    expect(notes).toEqual([])
  })

  test('models of which none was found are missing', () => {
    const none = { kind: 'models', candidates: [], passed: [], missing: 'no usable copy in sfs, r2' }
    expect(only('models').item).toMatchObject(none)
    expect(only('models', { models: [] }).item).toMatchObject(none)
    expect(only('models', { models: [], unreachable: [['r2', 'hangs']] }).item?.missing).toBe(
      'no usable copy in sfs; r2 not looked at',
    )
  })
})

describe('every item of the inventory has its step', () => {
  const site = (root: string, over: Partial<RestoreRequest> = {}): RestoreContext => {
    const asked = request({ withModels: true, withContainers: true, ...over })
    const settings = readSettings({ ...keys, CREDENTIALS_REPO: 'c', SCRIPTS_REPO: 's', PROJECT_REPO: 'p' })
    const selected = selectForRestore(asked, settings)
    const offers = new Map(items.map(({ name }) => [name, [copy('sfs', '24')]]))
    const plan = makeRestorePlan(selected, asked, { offers, unreachable: new Map() }, settings, root, now)
    return {
      plan,
      request: asked,
      settings,
      root,
      drill: root !== '/',
      sources: [],
      unreachable: new Map(),
      host: localHost({ name: 'verda', root }),
      aside: `${root}/aside`,
      outcomes: new Map(),
      watch: {} as RestoreContext['watch'],
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
    expect(titles.ufw).toMatch(/disables the firewall and enables it again/)
  })
})

describe('what lies on Mello', () => {
  const none = { R2_ACCESS_KEY_ID: '', R2_SECRET_ACCESS_KEY: '' }
  const hetzner = {
    HETZNER_ENDPOINT: 'https://h',
    HETZNER_ACCESS_KEY_ID: 'i',
    HETZNER_SECRET_ACCESS_KEY: 's',
  }
  const userData = (world: World) => planOf(world).items.find(({ item }) => item === 'user-data')

  test('is left out of a whole restore where no key reaches its copies, and says so', () => {
    expect(userData({ env: none })?.leftOut).toMatch(
      /^is on Mello; its copies are in r2(, hetzner)?, which is not set up here$/,
    )
    expect(userData({ env: none })).toMatchObject({ item: 'user-data', candidates: [], passed: [] })
  })

  test.each<[string, World]>([
    ['asked for by name', { env: none, request: { only: ['user-data'] } }],
    ['on Verda', { env: { ...none, USER_DATA_HOST: 'verda' } }],
    ['where R2 can be reached', {}],
    ['where Hetzner can be reached', { env: { ...none, ...hetzner } }],
  ])('%s it is missing', (_, world) => {
    expect(userData(world)?.leftOut).toBeUndefined()
    expect(userData(world)?.missing).toBeDefined()
  })

  test('what lies on Verda is missing all the same', () => {
    const { items: planned } = planOf({ env: none, request: { from: ['r2'] } })
    expect(planned.find(({ item }) => item === 'env')?.missing).toBeDefined()
  })

  test('where the only store could not be looked at, nothing else is said', () => {
    const { item } = only('user-data', { unreachable: [['r2', 'hangs']] })
    expect(item?.missing).toBe('r2 not looked at')
  })
})

test('a plan is that of a restore, and holds the date that was asked for', () => {
  const at = new Date('2026-11-24T09:00:00Z')
  expect(planOf({ request: { at } })).toMatchObject({ command: 'restore', at, environment: 'production' })
  expect(planOf({})).not.toHaveProperty('at')
})

test('a repository is not asked for the past', () => {
  const offers: Offer[] = [{ source: 'git', kind: 'repository', key: 'HEAD', environment: 'production' }]
  const env = { CREDENTIALS_REPO: 'git@example:c' }
  const past = only('credentials', { offers, env, request: { at: now } })
  expect(past.item?.leftOut).toMatch(
    /^a repository only has its current state: to get that, restore it without --at/,
  )
  expect(only('credentials', { env }).item).toMatchObject({ missing: 'no usable copy in git' })
})

test('an item of which some sources are required is missing, though others are not', () => {
  const { items: planned } = planOf({})
  for (const name of ['user-data', 'env', 'home-dev'])
    expect(
      planned.find(({ item }) => item === name),
      name,
    ).toMatchObject({ missing: expect.any(String) })
})

describe('the identity of another environment', () => {
  const find = (name: string, world: World) => planOf(world).items.find(({ item }) => item === name)
  const env = { ENVIRONMENT: 'staging' }

  test('that is no good, and its own that is not yet, leave it missing', () => {
    const flawed = { tailscale: [copy('sfs', '24', { flaw: 'is bad' })] }
    expect(find('tailscale', { env, offers: flawed })?.missing).toMatch(/sfs is bad$/)
    expect(find('tailscale', { env, offers: { tailscale: [own('sfs', '25')] } })?.missing).toMatch(
      /dated in the future/,
    )
  })

  test('is told of items that have one alone', () => {
    expect(find('env', { env, offers: { env: [copy('sfs', '25')] } })?.missing).toMatch(/dated in the future/)
    expect(find('env', { env, offers: { env: [copy('sfs', '24')] } })?.candidates).toHaveLength(1)
  })

  test('leaves it missing on production', () => {
    expect(find('tailscale', { offers: { tailscale: [own('sfs', '24')] } })?.missing).toBeDefined()
  })
})

test('the oldest that --at leaves is told of those that are good', () => {
  const { item } = only('env', {
    offers: [copy('sfs', '10', { flaw: 'is bad' }), copy('sfs', '24'), copy('sfs', '20'), copy('sfs', '22')],
    request: { at: new Date('2026-11-15T00:00:00Z') },
  })
  expect(item?.missing).toBe(
    'no usable copy in root, sfs, r2, mello; the oldest is from 2026-11-20T05:00Z, later than --at; x-2026-11-10.tar.gz in sfs is bad',
  )
})

test('the checklist of --json keeps its fields, whatever a finding is called inside', () => {
  const report: RestoreReport = {
    command: 'restore',
    environment: 'production',
    root: '/',
    startedAt: '',
    finishedAt: '',
    ok: false,
    notes: [],
    items: [],
    steps: [],
    checklist: [
      { name: 'cron', status: 'ok', what: 'installed' },
      { name: 'firewall', status: 'wrong', what: 'off', todo: 'ufw --force enable' },
    ],
    pending: [],
    next: '',
  }
  expect(reportJson(report).checklist).toMatchObject([
    { check: 'cron', ok: true, found: 'installed' },
    { check: 'firewall', ok: false, found: 'off', todo: 'ufw --force enable' },
  ])
})
