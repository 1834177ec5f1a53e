import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { items, type RestoreSource } from '../lib/inventory.ts'
import { type Offer, rankOffers, type Wanted } from '../lib/restore-order.ts'

const now = new Date('2026-11-24T10:00:00Z')
const config: RestoreSource[] = ['root', 'sfs', 'r2', 'hetzner', 'mello']
const wanted = (over: Partial<Wanted> = {}): Wanted => ({
  order: config,
  prefer: 'order',
  environment: 'production',
  now,
  ...over,
})

/** `sfs 24T05` is a copy in SFS, recorded at 5 h; `sfs 24 unrecorded` one without a record; `sfs latest` the older scripts'; `git` a repository. */
const offer = (text: string, over: Partial<Offer> = {}): Offer => {
  const [source = '', when = '', kind = 'recorded'] = text.split(' ')
  if (source === 'git') return { source: 'git', kind: 'repository', key: 'HEAD', environment: 'production' }
  const time = (day: string) => new Date(`2026-11-${day.includes('T') ? `${day}:00` : `${day}T00:00`}:00Z`)
  const common = { source: source as RestoreSource, environment: 'production', bytes: 10 }
  if (when === 'latest')
    return { ...common, kind: 'latest', key: 'config/env-latest.tar.gz', time: time('01'), ...over }
  const key = `config/env-2026-11-${when.replace('T', '-')}.tar.gz`
  const record = { sha256: when.replace('T', '').padEnd(64, '0'), archive: key.slice(7) }
  return kind === 'unrecorded'
    ? { ...common, kind, key, time: time(when), ...over }
    : { ...common, kind: 'recorded', key, time: time(when), record, ...over }
}
const named = ({ source, kind, key }: Offer) =>
  kind === 'repository'
    ? 'git'
    : `${source} ${key.replace(/^config\/env-(?:2026-11-)?|\.tar\.gz$/g, '')}${kind === 'unrecorded' ? ' unrecorded' : ''}`
const rank = (texts: (string | Offer)[], over: Partial<Wanted> = {}) => {
  const ranked = rankOffers(
    texts.map((one) => (typeof one === 'string' ? offer(one) : one)),
    wanted(over),
  )
  return {
    candidates: ranked.candidates.map(named),
    passed: ranked.passed.map((one) => `${named(one.offer)}: ${one.reason}`),
    newer: ranked.newer && named(ranked.newer),
  }
}

describe("the facts' orders", () => {
  test.each([
    ['env', ['root', 'sfs', 'r2', 'hetzner', 'mello']],
    ['tailscale', ['root', 'sfs', 'r2', 'hetzner', 'mello']],
    ['ssh-host-keys', ['root', 'sfs', 'r2', 'hetzner', 'mello']],
    ['comfyume-worker', ['root', 'sfs', 'r2', 'hetzner', 'mello']],
    ['models', ['sfs', 'r2', 'hetzner']],
    ['scripts', ['root', 'sfs', 'git', 'r2', 'hetzner', 'mello']],
    ['credentials', ['git']],
    ['user-data', ['r2', 'hetzner']],
  ])('%s comes from %j', (name, order) => {
    expect(items.find((item) => item.name === name)?.restore).toEqual(order)
  })

  test.each(items.filter(({ capture }) => capture.kind !== 'models'))(
    'of equal copies everywhere, those of $name are tried in its order',
    ({ restore }) => {
      const offers = [...restore]
        .reverse()
        .map((source) => offer(source === 'git' ? 'git' : `${source} 24T05`))
      const { candidates } = rankOffers(offers, wanted({ order: restore }))
      expect(candidates.map(({ source }) => source)).toEqual(restore)
    },
  )
})

describe('within a source', () => {
  test.each<[string, string[], string[]]>([
    ['the newest record first', ['sfs 22', 'sfs 24', 'sfs 23'], ['sfs 24', 'sfs 23', 'sfs 22']],
    [
      'then what has no record, by its stamp, then -latest',
      ['sfs latest', 'sfs 23 unrecorded', 'sfs 20', 'sfs 24 unrecorded'],
      ['sfs 20', 'sfs 24 unrecorded', 'sfs 23 unrecorded', 'sfs latest'],
    ],
    ['an hour of the day after the day', ['sfs 24', 'sfs 24T05'], ['sfs 24-05', 'sfs 24']],
    ['nothing at all', [], []],
  ])('%s', (_, offers, expected) => {
    expect(rank(offers).candidates).toEqual(expected)
  })

  test('the record is the truth about when, whatever the name says', () => {
    const late = offer('sfs 22', { time: new Date('2026-11-24T09:00:00Z') })
    expect(rank(['sfs 24T05', late, 'sfs 23']).candidates).toEqual(['sfs 22', 'sfs 24-05', 'sfs 23'])
  })

  test('of two records of one moment the later name comes first', () => {
    const time = new Date('2026-11-24T05:00:00Z')
    const [a, b] = [offer('sfs 24', { time }), offer('sfs 24T05', { time })]
    expect(rank([a, b]).candidates).toEqual(rank([b, a]).candidates)
  })
})

describe('between sources', () => {
  test('the best of each comes before the second of any', () => {
    expect(
      rank(['sfs 24', 'sfs 23', 'sfs latest', 'r2 24', 'r2 22', 'root 20', 'mello 10 unrecorded']).candidates,
    ).toEqual(['root 20', 'sfs 24', 'r2 24', 'mello 10 unrecorded', 'sfs 23', 'r2 22', 'sfs latest'])
  })

  test('a source that is not in the order offers nothing, not even a reason', () => {
    expect(rank(['r2 24', 'sfs 24'], { order: ['sfs'] })).toEqual({
      candidates: ['sfs 24'],
      passed: [],
      newer: undefined,
    })
  })

  test.each<[string, string[], string | undefined]>([
    ['a later source has a newer one', ['sfs 22', 'r2 24', 'mello 23'], 'r2 24'],
    ['the same time is not newer', ['sfs 24', 'r2 24'], undefined],
    ['an older one is not', ['sfs 24', 'r2 23'], undefined],
    ['a recorded one where the first choice has no record', ['root 24 unrecorded', 'r2 20'], 'r2 20'],
    ['of more than one, the newest', ['sfs 20', 'r2 22', 'mello 23'], 'mello 23'],
    [
      'what has no record is not known to be newer',
      ['sfs 22', 'r2 24 unrecorded', 'mello latest'],
      undefined,
    ],
    ['in the same source it would have been the first', ['sfs 22', 'sfs 24'], undefined],
  ])('newer elsewhere: %s', (_, offers, newer) => {
    expect(rank(offers).newer).toBe(newer)
  })

  test('prefer newest takes the recorded of all sources by their time, then the others', () => {
    const offers = ['root 24 unrecorded', 'sfs 22', 'sfs 23T05', 'r2 24', 'r2 23', 'mello latest']
    expect(rank(offers, { prefer: 'newest' })).toEqual({
      candidates: ['r2 24', 'sfs 23-05', 'r2 23', 'sfs 22', 'root 24 unrecorded', 'mello latest'],
      passed: [],
      newer: undefined,
    })
  })

  test('prefer newest: of copies of one moment the first source is taken', () => {
    expect(rank(['mello 24', 'r2 24', 'sfs 24'], { prefer: 'newest' }).candidates).toEqual([
      'sfs 24',
      'r2 24',
      'mello 24',
    ])
  })

  test('a repository stands where the order has it', () => {
    const order: RestoreSource[] = ['root', 'sfs', 'git', 'r2']
    expect(rank(['r2 24', 'git', 'sfs 20'], { order }).candidates).toEqual(['sfs 20', 'git', 'r2 24'])
    expect(rank(['r2 24 unrecorded', 'git', 'r2 20'], { order, prefer: 'newest' }).candidates).toEqual([
      'r2 20',
      'git',
      'r2 24 unrecorded',
    ])
  })
})

describe('what is skipped', () => {
  test('--at: what is later, and what tells no time', () => {
    const at = new Date('2026-11-22T23:59:59.999Z')
    expect(rank(['sfs 22', 'sfs 22T23', 'sfs 23', 'r2 24 unrecorded', 'sfs latest'], { at })).toEqual({
      candidates: ['sfs 22-23', 'sfs 22', 'sfs latest'],
      passed: [
        'sfs 23: is later than 2026-11-22T23:59:59.999Z',
        'r2 24 unrecorded: is later than 2026-11-22T23:59:59.999Z',
      ],
      newer: undefined,
    })
    expect(rank(['git'], { order: ['git'], at }).passed).toEqual(['git: has no time, and --at needs one'])
  })

  test('--at is inclusive to the millisecond', () => {
    const at = new Date('2026-11-24T05:00:00.000Z')
    expect(rank(['sfs 24T05'], { at }).candidates).toEqual(['sfs 24-05'])
    expect(rank(['sfs 24T05'], { at: new Date(at.getTime() - 1) }).candidates).toEqual([])
  })

  test('stamps and records in the future, but not a -latest that somebody copied', () => {
    const ahead = new Date(now.getTime() + 1)
    const { candidates, passed } = rank([
      offer('sfs 24', { time: ahead }),
      'sfs 25 unrecorded',
      offer('sfs latest', { time: ahead }),
      'sfs 23',
    ])
    expect(candidates).toEqual(['sfs 23', 'sfs latest'])
    expect(passed).toHaveLength(2)
    for (const reason of passed) expect(reason).toMatch(/is dated in the future: .*date -u/)
  })

  test('what has a flaw, in the words of whoever found it', () => {
    expect(rank([offer('sfs 24', { flaw: 'is gone: only its record is there' }), 'sfs 23'])).toEqual({
      candidates: ['sfs 23'],
      passed: ['sfs 24: is gone: only its record is there'],
      newer: undefined,
    })
  })

  test.each<[string, (string | Offer)[], string[]]>([
    [
      'the best of the next source comes before its own second one',
      [offer('sfs 24', { flaw: 'is gone' }), 'sfs 23', 'r2 22', 'r2 21', 'mello 20'],
      ['r2 22', 'mello 20', 'sfs 23', 'r2 21'],
    ],
    [
      'two flaws are two turns',
      [
        offer('sfs 24', { flaw: 'is gone' }),
        offer('sfs 23', { flaw: 'is gone' }),
        'sfs 22',
        'r2 21',
        'r2 20',
      ],
      ['r2 21', 'r2 20', 'sfs 22'],
    ],
    [
      'one that comes after a good one holds nothing up but what is behind it',
      ['sfs 24', offer('sfs 23', { flaw: 'is gone' }), 'sfs 22', 'r2 21', 'r2 20'],
      ['sfs 24', 'r2 21', 'r2 20', 'sfs 22'],
    ],
    [
      'where no other source has any, its second one is taken',
      [offer('sfs 24', { flaw: 'is gone' }), 'sfs 23'],
      ['sfs 23'],
    ],
  ])('a flaw that is known when a copy is listed takes its turn: %s', (_, offers, expected) => {
    expect(rank(offers).candidates).toEqual(expected)
  })

  test('one later than --at or from the future takes no turn, with a flaw or without', () => {
    const at = new Date('2026-11-23T23:59:59.999Z')
    for (const flaw of [undefined, 'is gone']) {
      const over = flaw ? { flaw } : {}
      expect(rank([offer('sfs 24', over), 'sfs 23', 'r2 22'], { at }).candidates).toEqual(['sfs 23', 'r2 22'])
      expect(rank([offer('sfs 25', over), 'sfs 23', 'r2 22']).candidates).toEqual(['sfs 23', 'r2 22'])
    }
  })

  test('prefer newest: one with a flaw is left out, and the next newest comes', () => {
    const offers = ['sfs 22', offer('sfs 24', { flaw: 'is gone' }), 'r2 21', 'sfs 23']
    expect(rank(offers, { prefer: 'newest' }).candidates).toEqual(['sfs 23', 'sfs 22', 'r2 21'])
  })

  test('those that would have been taken instead of the first choice are marked, and no others', () => {
    const flaw = 'is gone'
    const at = new Date('2026-11-24T12:00:00Z')
    const offers = [
      offer('sfs 25', { flaw }),
      offer('sfs 24', { flaw }),
      offer('sfs 20', { flaw }),
      offer('r2 23', { flaw }),
      offer('mello 21', { flaw }),
      'sfs 22',
      'r2 10',
    ]
    const instead = (over: Partial<Wanted>, all = offers) =>
      rankOffers(
        all.map((one) => (typeof one === 'string' ? offer(one) : one)),
        wanted({ at, ...over }),
      ).passed.flatMap((one) => (one.instead ? named(one.offer) : []))
    expect(instead({})).toEqual(['sfs 24', 'r2 23', 'mello 21'])
    expect(instead({ prefer: 'newest' })).toEqual(['sfs 24', 'r2 23'])
    expect(instead({}, offers.slice(0, 5)), 'where there is no first choice').toEqual([])
  })

  test('what is skipped is never named as newer', () => {
    const at = new Date('2026-11-23T23:59:59.999Z')
    expect(rank(['sfs 22', 'r2 24', offer('mello 23', { flaw: 'bad' })], { at }).newer).toBeUndefined()
  })
})

describe('on another environment than production', () => {
  const staging = { environment: 'staging' }

  test('its own copies come before those of production, even newer ones', () => {
    const own = (text: string) => offer(text, staging)
    expect(rank(['sfs 24', own('sfs 20'), own('r2 21 unrecorded'), 'r2 23'], staging)).toEqual({
      candidates: ['sfs 20', 'r2 21 unrecorded', 'sfs 24', 'r2 23'],
      passed: [],
      newer: undefined,
    })
  })

  test('a newer one of production is not called newer', () => {
    expect(rank([offer('sfs 20', staging), 'r2 24'], staging).newer).toBeUndefined()
  })

  test("the identity of production is skipped, and the item's own is not", () => {
    const ownOnly = { ...staging, ownOnly: true }
    const { candidates, passed } = rank(['sfs 24', offer('sfs 20', staging)], ownOnly)
    expect(candidates).toEqual(['sfs 20'])
    expect(passed).toEqual([
      expect.stringMatching(/^sfs 24: is the identity of production, and this is staging: .*--only/),
    ])
    expect(rank(['sfs 24'], staging).candidates, 'named').toEqual(['sfs 24'])
  })
})

describe('whatever is offered', () => {
  const anyOffer: fc.Arbitrary<Offer> = fc
    .record({
      source: fc.constantFrom<RestoreSource>('root', 'sfs', 'r2', 'hetzner', 'mello', 'git'),
      kind: fc.constantFrom<Offer['kind']>('recorded', 'unrecorded', 'latest', 'repository'),
      hour: fc.integer({ min: 0, max: 9 }),
      environment: fc.constantFrom('production', 'staging'),
      flaw: fc.option(fc.constant('is bad'), { nil: undefined, freq: 1 }),
      timeless: fc.boolean(),
      key: fc.integer({ min: 0, max: 99 }).map((n) => `key-${n}`),
    })
    .map(({ hour, timeless, flaw, ...rest }) => ({
      ...rest,
      ...(timeless ? {} : { time: new Date(Date.UTC(2026, 10, 24, 6 + hour)) }),
      ...(flaw ? { flaw } : {}),
    }))
  const offers = fc.uniqueArray(anyOffer, {
    maxLength: 14,
    selector: ({ source, key }) => `${source} ${key}`,
  })
  const anyWanted: fc.Arbitrary<Wanted> = fc.record({
    order: fc.shuffledSubarray<RestoreSource>(['root', 'sfs', 'r2', 'hetzner', 'mello', 'git'], {
      minLength: 1,
    }),
    prefer: fc.constantFrom('order' as const, 'newest' as const),
    environment: fc.constantFrom('production', 'staging'),
    now: fc.constant(now),
    at: fc.option(fc.constant(new Date('2026-11-24T08:00:00Z')), { nil: undefined }),
    ownOnly: fc.boolean(),
  }) as fc.Arbitrary<Wanted>
  const holds = (check: (offers: Offer[], wanted: Wanted) => void) =>
    fc.assert(fc.property(offers, anyWanted, check), { numRuns: 400, seed: 4 })

  test('each offer of a wanted source is either a candidate or passed over, once', () =>
    holds((all, want) => {
      const { candidates, passed } = rankOffers(all, want)
      const sorted = (list: Offer[]) =>
        [...list].sort((a, b) => (`${a.source} ${a.key}` < `${b.source} ${b.key}` ? -1 : 1))
      expect(sorted([...candidates, ...passed.map(({ offer }) => offer)])).toEqual(
        sorted(all.filter(({ source }) => want.order.includes(source))),
      )
      for (const { reason } of passed) expect(reason).not.toBe('')
    }))

  test('the order in which copies were found changes nothing', () => {
    fc.assert(
      fc.property(
        offers.chain((all) =>
          fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
        ),
        anyWanted,
        ([all, shuffled], want) => {
          const [one, other] = [rankOffers(all, want), rankOffers(shuffled, want)]
          expect(other.candidates).toEqual(one.candidates)
          expect(other.newer).toEqual(one.newer)
        },
      ),
      { numRuns: 600, seed: 4 },
    )
  })

  test('no candidate is later than asked for, from the future, flawed, or of a foreign identity', () =>
    holds((all, want) => {
      for (const { time, kind, flaw, environment } of rankOffers(all, want).candidates) {
        expect(flaw).toBeUndefined()
        if (want.at) expect(time && time <= want.at).toBe(true)
        if (kind !== 'latest' && time) expect(time <= want.now).toBe(true)
        if (want.ownOnly) expect(environment).toBe(want.environment)
      }
    }))

  test('in the order of the sources, each first choice comes before all second ones', () =>
    holds((all, want) => {
      const good = all.map(({ flaw: _, ...offer }): Offer => offer)
      const { candidates } = rankOffers(good, { ...want, prefer: 'order' })
      const turns = candidates.map(({ source }, index) => ({
        turn: candidates.slice(0, index).filter((one) => one.source === source).length,
        place: want.order.indexOf(source),
      }))
      expect(turns).toEqual([...turns].sort((a, b) => a.turn - b.turn || a.place - b.place))
    }))

  test('a flaw that is known changes the place of no other copy', () =>
    holds((all, want) => {
      const place = ({ source, key }: Offer) => `${source} ${key}`
      const bad = new Set(all.flatMap((offer) => (offer.flaw === undefined ? [] : place(offer))))
      const good = all.map(({ flaw: _, ...offer }): Offer => offer)
      expect(rankOffers(all, want).candidates.map(place)).toEqual(
        rankOffers(good, want)
          .candidates.map(place)
          .filter((one) => !bad.has(one)),
      )
    }))

  test('with prefer newest, the recorded of an environment are by time, and before what has no record', () =>
    holds((all, want) => {
      const { candidates } = rankOffers(all, { ...want, prefer: 'newest' })
      for (const own of [true, false]) {
        const kinds = candidates.filter(({ environment }) => (environment === want.environment) === own)
        const times = kinds.filter(({ kind }) => kind === 'recorded').map(({ time }) => time?.getTime() ?? 0)
        expect(times).toEqual([...times].sort((a, b) => b - a))
        const unrecorded = kinds.findIndex(({ kind }) => kind === 'unrecorded')
        if (unrecorded >= 0)
          expect(kinds.slice(unrecorded).some(({ kind }) => kind === 'recorded')).toBe(false)
      }
    }))

  test('what is called newer is recorded, elsewhere, and of the same environment', () =>
    holds((all, want) => {
      const { candidates, newer } = rankOffers(all, want)
      if (newer === undefined) return
      const [first] = candidates
      expect(newer).toMatchObject({ kind: 'recorded', environment: first?.environment })
      expect(newer.source).not.toBe(first?.source)
      expect(candidates).toContainEqual(newer)
    }))
})
