import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { HostError } from '../../lib/hosts/host.ts'
import { sshHost } from '../../lib/hosts/ssh.ts'
import { expectNoneLeft, newMark } from '../hosts/processes.ts'
import { itemOf, reportOf } from '../scripts/verda.ts'
import { buildWorkshop, modelsBucket, type Workshop } from '../scripts/workshop.ts'

/**
 * Somebody is root on Verda: what comes over ssh is theirs. An ssh of ours plays them; it runs what it is told to on this machine, and lies where the
 * mode says so.
 */
let workshop: Workshop
let bin: string
const at = (name: string) => path.join(workshop.verda.folder, name)
const play = (mode: string) => writeFileSync(at('mode'), mode)

beforeAll(async () => {
  workshop = await buildWorkshop()
  bin = at('bin')
  mkdirSync(bin)
  writeFileSync(path.join(bin, 'ssh'), taken)
  chmodSync(path.join(bin, 'ssh'), 0o755)
})
afterAll(() => workshop.dispose())

const taken = `#!/bin/bash
line=\${@: -1} mode=$(cat "$HOME/mode")
begin=$(grep -o '@comfyume-begin [0-9a-f]*' <<<"$line" | head -n 1)
end=$(grep -o '@comfyume-end [0-9a-f]*' <<<"$line" | head -n 1)
answer() { echo "$begin"; cat; echo "$end 0 0"; exit 0; }
if [[ " $* " == *' -M '* ]]; then
  [[ $mode != greeting ]] || exec tr '\\0' x </dev/zero
  if [[ $mode == escapes ]]; then
    printf '\\033]0;taken\\007\\033[2J\\xc2\\x9b1m\\xe2\\x80\\xae\\n2026-11-24T10:00:00Z stored env -> r2: config/env.tar.gz\\nSAFE TO SHUT DOWN\\n' >&2
    exit 255
  fi
else
  case $mode in
    answer) echo "$begin"; exec yes ;;
    models) [[ $line != *'model %s'* ]] || printf 'model %s\\0' '5 0 0 1 ../../../etc/cron.d/x.safetensors' \\
      '5 0 0 2 loras/../../x.safetensors' '5 0 0 3 runs/backup-verda-2026-11-24-10-00-00.json' \\
      '-1e99 0 0 4 loras/size.safetensors' '6 0 0 5 loras/style.safetensors' | answer
      [[ $line != *'cat -- "$2"'* || $line != *@(../|runs/|size)* ]] || printf hello | answer ;;
    changed) if [[ $line == *--show-transformed-names* ]]; then
        echo "$begin"; yes "tar: $(printf 'x%.0s' {1..400}): file changed as we read it" >&2; fi ;;
  esac
fi
exec bash -c "$line"
`

/** Of this process, which is where a host is asked. */
function asked(): ReturnType<typeof sshHost> {
  const { PATH, HOME } = process.env
  Object.assign(process.env, { PATH: `${bin}:${PATH}`, HOME: workshop.verda.folder })
  const host = sshHost({ name: 'verda', root: '/', destination: 'verda', greetingSeconds: 3 })
  onTestFinished(async () => {
    Object.assign(process.env, { PATH, HOME })
    await host.close()
  })
  return host
}

const env = () => ({ VERDA_SSH: 'verda', PATH: `${bin}:${process.env.PATH}` })

test.each(['greeting', 'answer'])('a %s without an end fills no memory', async (mode) => {
  play(mode)
  const host = asked()
  const mark = newMark()
  const before = process.memoryUsage().rss
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 20)
  const call = host.run('true', [mark])
  await expect(call).rejects.toThrow(HostError)
  clearInterval(watch)
  expect((most - before) / 1e6).toBeLessThan(350)
  await host.close()
  await expectNoneLeft(mark)
})

test('names of models that lead elsewhere reach no bucket, and fail the models by name', async () => {
  play('models')
  const run = await workshop.backupVerda(['--only', 'models', '--json'], env())
  expect(run.code).toBe(1)
  const { reason = '' } = itemOf(reportOf(run), 'models')
  for (const name of ['../../../etc/cron.d/x', 'loras/../../x', 'runs/backup-verda', 'loras/size'])
    expect(reason).toContain(name)
  const stored = workshop.written().filter((key) => key.startsWith(`${modelsBucket}/`))
  expect(stored.filter((key) => !key.includes('.comfyume-backup/'))).toEqual([
    `${modelsBucket}/loras/style.safetensors`,
    `${modelsBucket}/loras/style.safetensors.sha256`,
  ])
})

test('file names without an end are no file names: the item fails, and nothing of it is stored', async () => {
  play('changed')
  const run = await workshop.backupVerda(['--only', 'env', '--to', 'r2', '--json'], env())
  expect(itemOf(reportOf(run), 'env').reason).toMatch(
    /it sent more names of changed or unusual files than can be kept/,
  )
  expect(workshop.written().filter((key) => key.includes('/env-'))).toEqual([])
})

test('what it says steers no terminal, and no line of it passes for one of ours', async () => {
  play('escapes')
  const run = await workshop.backupVerda(['--only', 'env', '--to', 'r2'], env())
  expect(run.code).toBe(1)
  const said = run.stdout + run.stderr
  expect(said).toContain('\\u001b]0;taken\\u0007')
  expect(said.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u)
  expect(said).not.toMatch(/^(?:2026-11-24T10:00:00Z stored env|SAFE TO SHUT DOWN)/m)
  expect(said).toMatch(/^2026-11-24T10:00:00Z FAILED backup-verda: /m)
})
