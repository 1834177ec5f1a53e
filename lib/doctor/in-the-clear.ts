import { isIPv4 } from 'node:net'

/**
 * Whether what goes to an address can be read, and answered in its place, by whoever sits between: plain http to another machine than this, but for one of the tailnet,
 * where everything is encrypted anyway.
 */
export function isInTheClear(address: string): boolean {
  if (!URL.canParse(address)) return false
  const { protocol, hostname } = new URL(address)
  if (protocol !== 'http:') return false
  const [first = 0, second = 0] = isIPv4(hostname) ? hostname.split('.').map(Number) : []
  const here = /(?:^|\.)localhost$/.test(hostname) || hostname === '[::1]' || first === 127
  const tailnet = (first === 100 && second >= 64 && second < 128) || hostname.endsWith('.ts.net')
  return !here && !tailnet
}
