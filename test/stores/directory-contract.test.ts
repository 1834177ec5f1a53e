import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { rotatingDirectoryStore } from '../../lib/stores/directory/rotating.ts'
import { directoryStore } from '../../lib/stores/directory/store.ts'
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
