/**
 * The settings in a `.env` text. A value is taken literally: `$`, `#` and backslashes mean themselves;
 * only one pair of quotes around the whole value is taken off. A line that is no setting is named by its number alone.
 */
export function readDotEnv(text: string): { values: Record<string, string>; problems: string[] } {
  const values: Record<string, string> = {}
  const problems: string[] = []
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    const setting = line.trim()
    if (setting === '' || setting.startsWith('#')) continue
    const match = /^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$/.exec(setting)
    if (!match) {
      problems.push(`.env line ${index + 1} is not NAME=value`)
      continue
    }
    const [, name = '', value = ''] = match
    values[name] = /^(?:"[^"]*"|'[^']*')$/.test(value) ? value.slice(1, -1) : value
  }
  return { values, problems }
}
