import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { expect } from 'vitest'

/** Nothing but the folder that was unpacked into may have changed. */
export function expectSurroundings(folder: string) {
  const outside = path.join(folder, 'outside')
  expect(readdirSync(folder).sort()).toEqual(['outside', 'sentinel', 'staging'])
  expect(readdirSync(path.join(folder, 'staging'))).toEqual(['tree'])
  expect(readdirSync(outside)).toEqual(['sentinel'])
  for (const file of [path.join(outside, 'sentinel'), path.join(folder, 'sentinel')]) {
    expect(readFileSync(file, 'utf8')).toBe('untouched')
    expect(statSync(file)).toMatchObject({ nlink: 1, mode: 0o100644 })
  }
}
