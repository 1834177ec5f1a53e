import { rm } from 'node:fs/promises'
import { messageOf, secondsInWords } from '../lib/text.ts'
import type { Chapter } from './chapter.ts'
import { aBadHour } from './chapters/a-bad-hour.ts'
import { aSmallVerda } from './chapters/a-small-verda.ts'
import { awayFromVerda } from './chapters/away-from-verda.ts'
import { compared } from './chapters/compared.ts'
import { everythingComesBack } from './chapters/everything-comes-back.ts'
import { oneArchiveHasRotted } from './chapters/one-archive-has-rotted.ts'
import { oneLook } from './chapters/one-look.ts'
import { theFirstHour } from './chapters/the-first-hour.ts'
import { theInstanceIsGone } from './chapters/the-instance-is-gone.ts'
import { weeksGoBy } from './chapters/weeks-go-by.ts'
import { whatRotationKeeps } from './chapters/what-rotation-keeps.ts'
import { type Narrator, narrator } from './narrator.ts'
import { openStage } from './stage.ts'

const story: readonly Chapter[] = [
  aSmallVerda,
  theFirstHour,
  weeksGoBy,
  whatRotationKeeps,
  aBadHour,
  awayFromVerda,
  oneLook,
  theInstanceIsGone,
  oneArchiveHasRotted,
  everythingComesBack,
  compared,
]

/**
 * Tells the story in a new scratch folder, deleted at the end unless `keep`. The last line is the verdict;
 * returns true when everything came back.
 */
export async function tellStory(
  chapters: readonly Chapter[],
  { weeks, keep, say }: { weeks: number; keep: boolean; say: Narrator },
): Promise<boolean> {
  const begun = Date.now()
  const stage = await openStage(weeks, say)
  let badly: string | undefined
  try {
    say.line(
      'comfyume-backup: a rented machine is backed up for weeks, lost, and brought back. Every file is real.',
    )
    say.line(`All of it is in ${stage.folder}, and nothing else is touched.`)
    for (const { title, tell } of chapters) {
      say.chapter(title)
      badly = title
      if (!(await tell(stage))) break
      badly = undefined
    }
  } catch (error) {
    say.line(messageOf(error))
  } finally {
    await Promise.all(stage.closers.map((close) => close()))
    if (!keep) await rm(stage.folder, { recursive: true, force: true })
  }
  if (keep) say.line(`Kept: ${stage.folder}`)
  const seconds = secondsInWords((Date.now() - begun) / 1000)
  if (badly === undefined)
    say.verdict(true, `EVERYTHING CAME BACK: ${stage.before.size} files, folders and links, in ${seconds}`)
  else say.verdict(false, `NOT EVERYTHING CAME BACK: the demo failed in "${badly}"`)
  return badly === undefined
}

/** Runs `npm run demo` and returns its exit code. */
export async function demo({ weeks = 4, keep = false }: { weeks?: number; keep?: boolean }): Promise<number> {
  return (await tellStory(story, { weeks, keep, say: narrator(process.stdout) })) ? 0 : 1
}
