import { defineConfig } from 'vitest/config'

/** What needs real servers and tools, installed by .ci/install. */
export default defineConfig({
  test: {
    include: ['test/real/**/*.test.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    fileParallelism: false,
  },
})
