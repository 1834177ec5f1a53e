/**
 * Parses `.env`. Values are literal, including `$`, `#` and backslashes. Only one pair of quotes around the
 * whole value is removed. Wrong lines are returned by number only, as they may hold secrets.
 */
export function readDotEnv(text: string): { values: Record<string, string>; wrongLines: number[] } {
  const values: Record<string, string> = {}
  const wrongLines: number[] = []
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const setting = line.trim()
    if (setting === '' || setting.startsWith('#')) continue
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(setting)
    if (!match) {
      wrongLines.push(index + 1)
      continue
    }
    const [, name = '', value = ''] = match
    values[name] = /^(?:"[^"]*"|'[^']*')$/.test(value) ? value.slice(1, -1) : value
  }
  return { values, wrongLines }
}
