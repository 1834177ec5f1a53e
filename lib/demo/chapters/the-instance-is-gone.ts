import { mkdir, rm } from 'node:fs/promises'
import type { Chapter } from '../chapter.ts'
import { foldersAround } from '../folders-around.ts'
import { takeStock } from '../stock.ts'
import { leftOut } from '../verda.ts'

export const theInstanceIsGone: Chapter = {
  title: 'The instance is gone',
  async tell(stage) {
    const { say, verda } = stage
    stage.before = await takeStock(verda, { whole: leftOut, alone: foldersAround(stage) })
    say.line('It was a spot instance.')
    say.write(`rm -rf ${verda}`)
    await rm(verda, { recursive: true })
    await mkdir(verda)
    say.line('What is left is the share.')
    return true
  },
}
