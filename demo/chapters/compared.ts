import type { Chapter } from '../chapter.ts'
import { foldersAround } from '../folders-around.ts'
import { differences, takeStock } from '../stock.ts'
import { leftOut, usersData } from '../verda.ts'

export const compared: Chapter = {
  title: 'Compared with what was lost',
  async tell(stage) {
    const { say, verda, before } = stage
    const found = differences(
      before,
      await takeStock(verda, { whole: ['/mnt'], alone: [...foldersAround(stage), usersData] }),
    )
    say.line('Each file is compared by content, type, mode, owner, mtime, link, hard link and holes.')
    say.line('The models came from R2 and were compared with their records on the way.')
    say.line(`In no backup, because they can be downloaded again: ${leftOut.join(', ')}.`)
    say.line(
      `${before.size} were there, ${found.length === 0 ? 'and all of them are back, unchanged' : `${found.length} differences are found`}.`,
    )
    for (const difference of found) say.line(`DIFFERENT: ${difference}`)
    return found.length === 0
  },
}
