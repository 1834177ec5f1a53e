import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { type ProjectName, projects } from './test/projects.ts'

const project = (name: ProjectName, more: object = {}) => ({
  extends: true as const,
  test: { name, include: projects[name].filter((pattern) => !pattern.startsWith('!')), ...more },
})
const excluded = projects.integration
  .filter((pattern) => pattern.startsWith('!'))
  .map((pattern) => pattern.slice(1))
const own = 'test/setup/own-folders.ts'

/** docs/testing.md says what each project is. A time-out is for what hangs: a busy machine is slow. */
export default defineConfig({
  test: {
    // By default one core is left idle. One more than there are: some files wait most of their time, for what hangs.
    maxWorkers: availableParallelism() + 1,
    globalSetup: ['test/left-out.ts', 'test/worlds.ts'],
    testTimeout: 400_000,
    hookTimeout: 400_000,
    projects: [
      project('unit', { isolate: false, setupFiles: [own, 'test/setup/unit.ts'] }),
      project('integration', { exclude: excluded, setupFiles: [own, 'test/setup/integration.ts'] }),
      project('slow', { setupFiles: [own, 'test/setup/integration.ts'] }),
      project('smoke', { setupFiles: [own] }),
      project('e2e', { setupFiles: [own] }),
      project('real', { testTimeout: 900_000, hookTimeout: 900_000, fileParallelism: false }),
      project('machines', {
        testTimeout: 3_600_000,
        hookTimeout: 3_600_000,
        fileParallelism: false,
        bail: 1,
      }),
    ],
  },
})
