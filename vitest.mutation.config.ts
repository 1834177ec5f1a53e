import { defineConfig } from 'vitest/config'

/** The fast tests of the modules that stryker.config.json mutates: no command is run, no server started. */
export default defineConfig({
  test: {
    // One module at a time, with its own tests, is faster: MUTATION_TESTS=test/naming.test.ts npm run mutation -- --mutate lib/naming.ts
    include: process.env.MUTATION_TESTS?.split(',') ?? [
      'test/{naming,record,retention,rotation,copies,select,plan,restore-order,settings,shutdown,time}.test.ts',
      'test/capture/pattern.test.ts',
      'test/restore/{hard-links,mapping,newer,plan}.test.ts',
      'test/status/{age,cell-findings,growth,schedule,wanted}.test.ts',
      'test/verify/{budget,order}.test.ts',
    ],
    testTimeout: 60_000,
  },
})
