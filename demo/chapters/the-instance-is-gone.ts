import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import type { Chapter } from '../chapter.ts'
import { foldersAround } from '../folders-around.ts'
import { type Stock, takeStock } from '../stock.ts'
import { leftOut, usersData } from '../verda.ts'

export const theInstanceIsGone: Chapter = {
  title: 'The instance is gone',
  async tell(stage) {
    const { say, verda, folder } = stage
    // The models are on the share, not on the machine.
    const except = { whole: [...leftOut, '/mnt'], alone: foldersAround(stage) }
    const users = await takeStock(path.join(folder, 'mello', usersData)).catch((): Stock => new Map())
    stage.before = new Map([
      ...(await takeStock(verda, except)),
      ...[...users].map(([name, facts]) => [usersData + name, facts] as const),
    ])
    say.line(
      "It was a spot instance. The new one is to get a copy of the users' files as well, which Mello has.",
    )
    say.write(`rm -rf ${verda}`)
    await rm(verda, { recursive: true })
    await mkdir(verda)
    say.line('What is left: the share, Mello and the object stores.')
    return true
  },
}
