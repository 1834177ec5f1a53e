/** A shell pattern in which `*` also matches `/`, as tar's and find's do here. */
export function matcher(pattern: string): RegExp {
  return new RegExp(
    `^${pattern
      .replace(/[.+^$(){}|\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    's',
  )
}
