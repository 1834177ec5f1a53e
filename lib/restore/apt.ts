import { setTimeout as sleep } from 'node:timers/promises'
import { sh } from './system.ts'

/**
 * Runs apt-get without a question: configuration files that are there already stay. In its first minutes a new instance updates itself and holds the locks: they are waited
 * for, up to ten minutes (apt's own setting waits for dpkg's, and not for those of its lists and archives). What an interrupted dpkg left is finished first.
 * Throws with what apt said.
 */
export async function aptGet(...args: string[]): Promise<void> {
  const end = Date.now() + 600_000
  for (let mended = false; ; ) {
    const { exitCode, stdout, stderr } = await sh`apt-get -qq -y ${options} ${args}`
    if (exitCode === 0) return
    const said = (stderr.trim() || stdout.trim()).split('\n').slice(-3).join(' ')
    if (!mended && said.includes('dpkg --configure -a')) {
      mended = true
      await sh`dpkg --force-confdef --force-confold --configure -a`
    } else if (/could not get lock|unable to (?:lock|acquire)/i.test(said) && Date.now() < end) {
      await sleep(2000)
    } else {
      throw new Error(`apt-get ${args.join(' ')}: ${said || `exit ${exitCode}`}`)
    }
  }
}

const options = [
  'DPkg::Lock::Timeout=600',
  'Dpkg::Options::=--force-confdef',
  'Dpkg::Options::=--force-confold',
].map((option) => `-o${option}`)
