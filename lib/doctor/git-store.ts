import { tmpdir } from 'node:os'
import { git, remoteOf } from '../capture/git.ts'
import { type Check, ok, warning, wrong } from './check.ts'
import { isInTheClear } from './in-the-clear.ts'

export const gitChecks: readonly Check[] = [
  {
    group: 'stores',
    name: 'git',
    what: 'that the repository of the credentials can be read without being asked',
    uses: ['CREDENTIALS_REPO'],
    async check({ settings }) {
      const address = settings.repositories.credentials ?? ''
      if (/^https?:/.test(address) && !URL.canParse(address))
        return [
          wrong('CREDENTIALS_REPO is no address', 'write it as git takes it: https://host/owner/name.git'),
        ]
      const remote = remoteOf(address)
      const { exitCode, stderr } = await git(tmpdir(), ['ls-remote', '--quiet', '--', remote.address], remote)
      const readable = `${remote.address} can be read; whether it can be pushed to only a run can show`
      if (exitCode === 0 && isInTheClear(address))
        return [
          warning(
            `${readable}. It is asked over plain http: whoever sits between can read the credentials, and the token`,
            'let CREDENTIALS_REPO begin with https://, or use ssh',
          ),
        ]
      if (exitCode === 0) return [ok(readable)]
      const said = stderr.split('\n')
      const reason = said.find((line) => /^(fatal|error|remote|ssh|!)|denied/i.test(line)) ?? said.at(-1)
      return [
        wrong(
          `${remote.address} cannot be read: ${reason}`,
          'see CREDENTIALS_REPO, and that this user may read and push there without being asked (a key without a passphrase, or a token in the address)',
        ),
      ]
    },
  },
]
