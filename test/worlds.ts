import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  interface ProvidedContext {
    /** A folder for what is costly to make and the same for many test files, which each copy it. It goes away at the end of the run. */
    worlds: string
  }
}

/** Run by vitest around the tests of each project. */
export default function aroundTests(project: TestProject): () => void {
  const folder = mkdtempSync(path.join(tmpdir(), 'worlds-'))
  chmodSync(folder, 0o711)
  project.provide('worlds', folder)
  return () => rmSync(folder, { recursive: true, force: true })
}
