import { readFileSync } from 'node:fs'
import path from 'node:path'

export const securityPage = readFileSync(path.resolve(import.meta.dirname, '../docs/security.md'), 'utf8')

export interface Policy {
  Version: string
  Statement: { Effect: string; Action: string[]; Resource: string[] }[]
}

/** The blocks of JSON in docs/security.md, in their order. Throws for one that is none. */
export function jsonBlocks(): unknown[] {
  return [...securityPage.matchAll(/^```json\n(.*?)^```$/gms)].map(([, text = '']) => JSON.parse(text))
}

/** The policies for S3 servers: of the key that writes, and of the one that only reads. */
export function policies(): { write: Policy; read: Policy } {
  const [write, read, ...others] = jsonBlocks().filter((block) => 'Version' in (block as object)) as Policy[]
  if (write === undefined || read === undefined || others.length > 0)
    throw new Error('docs/security.md should have two policies')
  return { write, read }
}
