import { defineConfig } from 'vitest/config'

/** The fast tests of the modules that stryker.config.json mutates: no command is run, no server started. */
export default defineConfig({
  test: {
    // One module at a time, with its own tests, is faster: MUTATION_TESTS=test/naming.test.ts npm run mutation -- --mutate lib/naming.ts
    include: process.env.MUTATION_TESTS?.split(',') ?? [
      'test/{age,copies,naming,record,restore-order,retention,time}.test.ts',
      'test/backup/{plan,rotate,select,shutdown}.test.ts',
      'test/capture/pattern.test.ts',
      'test/restore/files/{hard-links,mapping}.test.ts',
      'test/restore/{newer,plan/plan}.test.ts',
      'test/settings/settings.test.ts',
      'test/status/judge/{days,growth,of-cells,schedule}.test.ts',
      'test/status/look/wanted.test.ts',
      'test/verify/{budget,order}.test.ts',
    ],
    testTimeout: 60_000,
  },
})
