import { defineConfig } from 'vitest/config'

/** What needs only Node and the usual Unix tools. test/real has a configuration of its own. */
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/real/**', 'test/bench/**'],
    globalSetup: ['test/left-out.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
