/** HTML that is safe to insert: only `html` makes it, so a store's text never becomes markup. */
export class Html {
  readonly #text: string
  constructor(text: string, key: typeof own) {
    if (key !== own) throw new TypeError('only html`…` makes HTML')
    this.#text = text
  }
  toString(): string {
    return this.#text
  }
}

export type Piece = Html | string | number | undefined | false | readonly Piece[]

/** A template that escapes its values; pieces made by `html`, and lists of them, stay as they are. */
export function html(strings: TemplateStringsArray, ...values: readonly Piece[]): Html {
  const parts = strings.map((text, index) => (index === 0 ? text : render(values[index - 1]) + text))
  return new Html(parts.join(''), own)
}

/** A command line, which breaks only between its words. */
export function commandHtml(line: string): Html {
  return html`<code>${line.split(' ').map((word, index) => [index > 0 && ' ', html`<span>${word}</span>`])}</code>`
}

const own = Symbol('made by html')

function render(value: Piece): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Html) return value.toString()
  if (Array.isArray(value)) return value.map(render).join('')
  return escaped(String(value))
}

/** Also codes that would control a terminal or change text direction. */
function escaped(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, '\uFFFD')
    .replace(/[&<>"'`]/g, (one) => `&#${one.charCodeAt(0)};`)
}
