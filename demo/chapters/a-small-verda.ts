import type { Chapter } from '../chapter.ts'
import { takeStock } from '../stock.ts'
import { buildVerda } from '../verda.ts'

export const aSmallVerda: Chapter = {
  title: 'A small Verda',
  async tell({ say, verda }) {
    await buildVerda(verda)
    const stock = await takeStock(verda)
    say.line(
      `${stock.size} files, folders and links: identity, configuration, homes, this toolkit. Among them are`,
    )
    say.line(
      'names with spaces, a newline and bytes that are not UTF-8, a program with the setuid bit, a hard',
    )
    say.line('link, a link to nowhere, an empty folder, a sparse file, and caches that need no backup.')
    if (process.getuid?.() === 0) say.line('Some belong to users that this machine does not have.')
    return true
  },
}
