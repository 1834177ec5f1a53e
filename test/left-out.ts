import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { all, filesOf, type ProjectName, projects } from './projects.ts'

const root = path.resolve(import.meta.dirname, '..')

/** Run by vitest around all tests: says at the end, by name, what was left out, so that nobody takes a quick run for everything. */
export default function aroundAllTests(project: TestProject): () => void {
  const { vitest } = project
  // It is run for each project.
  if (project !== vitest.projects[0]) return () => {}
  const run = new Set(vitest.projects.map(({ name }) => name))
  const left = (Object.keys(projects) as ProjectName[]).filter((name) => !run.has(name))
  return () => {
    for (const name of left)
      process.stdout.write(
        `Left out, project ${name}: ${filesOf(name, root).join(', ')}\n${howToRun(name)}\n`,
      )
  }
}

function howToRun(name: ProjectName): string {
  if (all.includes(name)) return 'They run with: npm run test:all'
  if (name === 'machines')
    return 'They need .ci/install-tailnet and .ci/install-machines, and minutes each. They run with: npm run machines'
  return 'They need real servers and tools, which .ci/install, .ci/install-s3, .ci/install-tailnet and .ci/install-machine bring. They run with: npm run test:real'
}
