import fc from 'fast-check'
import { expect, test } from 'vitest'
import { letGo, share, takeBlock } from '../lib/blocks.ts'

test('a block is used again when its reader has let it go, and not before', () => {
  const block = takeBlock()
  const others = Array.from({ length: 20 }, takeBlock)
  expect(others.some(({ buffer }) => buffer === block.buffer)).toBe(false)
  letGo([block.subarray(10, 20)])
  expect(takeBlock().buffer).toBe(block.buffer)
  letGo(others)
})

test('whatever is shared and let go in whatever order, nobody gets a block that somebody reads', () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('take' as const) }),
    fc.record({ do: fc.constant('share' as const), which: fc.nat(), more: fc.nat(3) }),
    fc.record({ do: fc.constant('let go' as const), which: fc.nat() }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const read: { block: Buffer; readers: number }[] = []
      for (const now of steps) {
        const one = now.do === 'take' ? undefined : read[now.which % read.length]
        if (now.do === 'take') {
          const block = takeBlock()
          expect(read.some(({ block: { buffer } }) => buffer === block.buffer)).toBe(false)
          read.push({ block, readers: 1 })
        } else if (one === undefined) continue
        else if (now.do === 'share') {
          share(one.block, now.more)
          one.readers += now.more
        } else {
          letGo([one.block])
          one.readers -= 1
          if (one.readers === 0) read.splice(read.indexOf(one), 1)
        }
      }
      for (const { block, readers } of read) for (let left = readers; left > 0; left--) letGo([block])
    }),
  )
})

test("other memory is nobody's block, however often it is let go", () => {
  const other = Buffer.alloc(2 ** 20)
  share(other, 1)
  for (let count = 0; count < 5; count++) letGo([other])
  expect(takeBlock().buffer).not.toBe(other.buffer)
})
