import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { directoryStore } from '../../lib/stores/directory.ts'
import { rotatingDirectoryStore } from '../../lib/stores/rotating-directory.ts'
import { storeContract } from './contract.ts'

for (const [name, open] of [
  ['a directory', directoryStore],
  ['the SFS cache', rotatingDirectoryStore],
] as const) {
  storeContract(name, async () => {
    const root = mkdtempSync(path.join(tmpdir(), 'directory-store-'))
    return {
      store: open({ name: 'directory', root }),
      raw: async (key) => readFileSync(path.join(root, key)),
      close: async () => rmSync(root, { recursive: true }),
    }
  })
}
