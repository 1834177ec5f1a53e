import type { Oracle } from '../oracle.ts'
import type { Finished } from '../run.ts'
import type { World } from '../world.ts'

interface Checked {
  store: string
  key: string
  status: string
  reason?: string
}

/** Clause 3 of an undisturbed verification: it reports exactly the damaged copies, as does its exit code. */
export function checkVerified(world: World, { isCutOff }: Oracle, run: Finished): string[] {
  let checked: Checked[]
  try {
    checked = JSON.parse(run.stdout).checked
  } catch {
    return [`verify: ended with ${run.code ?? run.signal} and printed no report: ${run.stderr.slice(-500)}`]
  }
  const isDamaged = ({ store, key }: Checked) => world.damaged.has(`${store} ${key}`)
  const problems = checked.flatMap((one) => {
    // What lost its base may be called so too.
    if (one.status === 'broken' && !isDamaged(one) && !isCutOff(one.store, one.key))
      return [`calls ${one.store} ${one.key} broken: ${one.reason}`]
    if (one.status === 'good' && isDamaged(one))
      return [`calls ${one.store} ${one.key} good, which is damaged`]
    return []
  })
  const code = checked.some(({ status }) => status === 'broken') ? 1 : 0
  if (run.code !== code)
    problems.push(
      `ended with ${run.code ?? run.signal}, and its report means ${code}: ${run.stderr.slice(-500)}`,
    )
  return problems.map((problem) => `verify: ${problem}`)
}
