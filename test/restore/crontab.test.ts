import { expect, test } from 'vitest'
import { crontabWith } from '../../lib/restore/steps/crontab.ts'

const ours = '# Ours.\nCRON_TZ=UTC\n5 * * * * /opt/backup a >>/log 2>&1\n20 * * * * /opt/backup b\n'

test.each([
  ['none: ours alone', '', ours],
  ['only empty lines: ours alone', '\n\n', ours],
  [
    'others: their settings do not reach ours, nor ours them',
    'MAILTO=x\n1 2 * * * /bin/other\n\n',
    `MAILTO=x\n1 2 * * * /bin/other\n\n${ours}`,
  ],
  [
    'a job of ours, at our time or at another one: it does not run twice',
    '5 * * * * /opt/backup a >>/log 2>&1\n*/10 1-5 * jan mon-fri  /opt/backup b \n@daily /opt/backup b\n',
    '# before the restore: 5 * * * * /opt/backup a >>/log 2>&1\n' +
      '# before the restore: */10 1-5 * jan mon-fri  /opt/backup b \n' +
      `# before the restore: @daily /opt/backup b\n\n${ours}`,
  ],
  [
    'a job that is switched off stays so',
    '# 5 * * * * /opt/backup b\n',
    `# 5 * * * * /opt/backup b\n\n${ours}`,
  ],
  [
    'the same with other flags is another job',
    '5 * * * * /opt/backup b --quick',
    `5 * * * * /opt/backup b --quick\n\n${ours}`,
  ],
])('a crontab with %s', (_name, there, expected) => {
  expect(crontabWith(there, ours)).toBe(expected)
})
