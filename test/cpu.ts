/** CPU seconds of this process so far. A bound on these holds on a busy machine, unlike one on the clock. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
