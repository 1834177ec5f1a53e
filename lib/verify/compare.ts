import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { bash } from '../bash.ts'
import { boundMemory, chooseDecompressor, readToItsEnd } from '../capture/compressor.ts'
import { openOffer } from '../restore/bring-back.ts'
import type { ItemOutcome } from '../restore/report.ts'
import { plannedItem, type Site } from '../restore/site.ts'

/**
 * In what the files of an item, as they lie below the root, differ from the archive that they came from, a line each: tar reads it once more and compares
 * content, mode, owner, time and links. None for what did not come from an archive.
 */
export async function differencesFrom(site: Site, outcome: ItemOutcome): Promise<string[]> {
  const offer = plannedItem(site, outcome.item)?.candidates.find(
    ({ source, key }) => source === outcome.source && key === outcome.key,
  )
  if (offer === undefined || offer.kind === 'repository') return []
  const { args, env } = bash(script, [path.join(site.root, outcome.base ?? '')])
  const child = spawn('bash', args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = once(child, 'close') as Promise<[number | null]>
  const said = Promise.all([text(child.stdout), text(child.stderr)])
  await pipeline(await openOffer(site, outcome.item, offer), child.stdin).catch(() => {})
  const [code] = await ended
  const [differences, complaints] = await said
  const left = outcome.left ?? []
  const isLeftOut = (line: string) => left.some((member) => line.includes(member))
  const lines = `${differences}\n${complaints}`
    .split('\n')
    .filter(
      (line) => line !== '' && !isOwnersOnly(line) && !isLeftOut(line) && !line.includes('Exiting with'),
    )
  if (code === 0 || lines.length > 0 || left.length > 0) return lines
  // Owners alone: only root can give files away.
  if (code === 1 && differences !== '') return []
  return [complaints.trim().split('\n').at(-1) || `tar ended with ${code}`]
}

function isOwnersOnly(line: string): boolean {
  return process.getuid?.() !== 0 && /: [UG]id differs$/.test(line)
}

const script = `
${chooseDecompressor}
"\${decompressor[@]}" | { (${boundMemory}; exec tar --compare --file=- --directory="$1" --numeric-owner \
  --quoting-style=escape); ${readToItsEnd}; }
`
