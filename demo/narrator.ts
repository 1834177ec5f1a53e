import { stripVTControlCharacters } from 'node:util'

/** Prints the story to one stream: numbered chapters, plain lines, and indented command output. */
export interface Narrator {
  chapter(title: string): void
  line(text?: string): void
  /** Command output; a chunk is one or more whole lines. */
  write(text: string): void
  verdict(good: boolean, text: string): void
}

/** Bold and colour only on a terminal, and not with NO_COLOR. */
export function narrator(out: Pick<NodeJS.WriteStream, 'write'> & Partial<NodeJS.WriteStream>): Narrator {
  const coloured = out.isTTY === true && out.hasColors?.() === true
  const paint = (code: string, text: string) => (coloured ? `\x1b[${code}m${text}\x1b[0m` : text)
  const line = (text = '') => {
    out.write(`${text}\n`)
  }
  let chapters = 0
  return {
    line: (text) => line(text && `   ${text}`),
    chapter(title) {
      line()
      line(paint('1', `${++chapters}. ${title}`))
    },
    write(text) {
      for (const one of stripVTControlCharacters(text).trimEnd().split('\n'))
        line(`   ${paint('2', `| ${one}`)}`)
    },
    verdict(good, text) {
      line()
      line(paint(good ? '1;32' : '1;31', text))
    },
  }
}
