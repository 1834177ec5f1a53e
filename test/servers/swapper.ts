import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'

/** A user without rights, whose number owns none of the tests' files. */
export const stranger = 54321

const python = '/usr/bin/python3'

/** Why no swapper can run here; undefined if it can. */
export const noSwapper =
  process.getuid?.() !== 0
    ? 'only root can start a process of another user'
    : spawnSync(python, ['-c', 'import ctypes'], { uid: stranger, gid: stranger }).status !== 0
      ? `no ${python} that another user can run`
      : undefined

const swap = `
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(1, 9)  # It ends with the tests, also when one hangs.
one, two = (name.encode() for name in sys.argv[1:])
count = 0
print("on", flush=True)
while True:
    if libc.renameat2(-100, one, -100, two, 2) == 0:
        count += 1
        if count == 20:
            print("swapped", flush=True)
`

/** While `use` runs, keeps exchanging two names, as a user without rights. Throws if it failed. */
export async function whileSwapped<T>(one: string, two: string, use: () => Promise<T>): Promise<T> {
  const child = spawn(python, ['-c', swap, one, two], {
    uid: stranger,
    gid: stranger,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk) => {
    said += chunk
  })
  await once(child.stdout, 'data')
  const result = await use().finally(() => child.kill('SIGKILL'))
  if (!said.includes('swapped')) throw new Error(`${one} and ${two} could not be swapped`)
  return result
}
