import { describe, expect, test } from 'vitest'
import { crontabWith, isInstalled, machineOf } from '../lib/crontab.ts'

const ours = [
  "# comfyume-backup on Verda: root's crontab.",
  'PATH=/opt/comfyume-backup/bin:/usr/bin',
  'MAILTO=""',
  '',
  '# Every hour.',
  '5 * * * * /opt/comfyume-backup/run backup-cron >>/var/log/x.log 2>&1',
  '',
].join('\n')
const theirs = 'MAILTO=root@example.org\n17 3 * * * /usr/bin/certbot renew\n'

describe('the lines of the toolkit in a crontab', () => {
  test('are put between marks, behind the lines of others, whose variables stay their own', () => {
    const text = crontabWith(theirs, ours, 'verda')
    expect(text.startsWith(theirs)).toBe(true)
    expect(text.slice(theirs.length).trim().split('\n')).toEqual([
      expect.stringMatching(/^# BEGIN comfyume-backup/),
      ...ours.trim().split('\n'),
      '# END comfyume-backup',
    ])
    expect(isInstalled(text, ours, 'verda')).toBe(true)
    expect([machineOf(text), machineOf(theirs)]).toEqual(['verda', undefined])
  })

  test('are the whole of an empty crontab', () => {
    expect(crontabWith('', ours, 'verda').split('\n')[0]).toMatch(/^# BEGIN/)
    expect(isInstalled('', ours, 'verda')).toBe(false)
  })

  test('are replaced where they are, and again by the same, which changes nothing', () => {
    const newer = ours.replace('5 * * * *', '7 * * * *')
    const text = crontabWith(crontabWith(theirs, ours, 'verda'), newer, 'verda')
    expect(text).toContain('7 * * * *')
    expect(text).not.toContain('5 * * * *')
    expect(crontabWith(text, newer, 'verda')).toBe(text)
    expect(isInstalled(text, ours, 'verda')).toBe(false)
  })

  test('keep lines of others that were added behind the marks', () => {
    const added = '0 1 * * * /usr/bin/true\n'
    expect(crontabWith(crontabWith(theirs, ours, 'verda') + added, ours, 'verda')).toContain(added)
  })

  test('take the place of a whole crontab of the toolkit that has no marks', () => {
    const text = crontabWith(`${ours}0 1 * * * /usr/bin/true\n`, ours, 'verda')
    expect(text.match(/backup-cron/g)).toHaveLength(1)
    expect(text).toContain('0 1 * * * /usr/bin/true')
    expect(text.match(/MAILTO/g)).toHaveLength(1)
  })

  test('run no job twice that somebody added by hand, at whatever time', () => {
    const text = crontabWith(
      `@daily /opt/comfyume-backup/run backup-cron >>/var/log/x.log 2>&1\n`,
      ours,
      'verda',
    )
    const running = text.split('\n').filter((line) => line.includes('backup-cron') && !line.startsWith('#'))
    expect(running).toHaveLength(1)
  })

  test('run no backup twice whose old line writes its log in another way', () => {
    const own = '5 * * * * exec >>/log 2>&1; /opt/x/tsx /opt/x/scripts/backup-cron.ts --only env\n'
    const old = '7 * * * * tsx /opt/x/scripts/backup-cron.ts --only env >>/other.log 2>&1'
    expect(crontabWith(old, own, 'verda').split('\n')).toContain(`# now between the marks below: ${old}`)
  })

  test('survive an opening mark without a closing one: nothing of others is lost', () => {
    const cut = `${crontabWith(theirs, ours, 'verda').replace('# END comfyume-backup\n', '')}0 2 * * * /usr/bin/false\n`
    expect(crontabWith(cut, ours, 'verda')).toContain('0 2 * * * /usr/bin/false')
  })

  const jobs = '# Ours.\nCRON_TZ=UTC\n5 * * * * /opt/backup a >>/log 2>&1\n20 * * * * /opt/backup b\n'
  test.each([
    ['only empty lines: ours alone', '\n\n', ''],
    [
      'others: their settings do not reach ours, nor ours them',
      'MAILTO=x\n1 2 * * * /bin/other\n\n',
      'MAILTO=x\n1 2 * * * /bin/other\n\n',
    ],
    [
      'a job of ours, at our time or at another one: it does not run twice',
      '5 * * * * /opt/backup a >>/log 2>&1\n*/10 1-5 * jan mon-fri  /opt/backup b \n@daily /opt/backup b\n',
      '# now between the marks below: 5 * * * * /opt/backup a >>/log 2>&1\n' +
        '# now between the marks below: */10 1-5 * jan mon-fri  /opt/backup b \n' +
        '# now between the marks below: @daily /opt/backup b\n\n',
    ],
    [
      'a job that is switched off: it stays so',
      '# 5 * * * * /opt/backup b\n',
      '# 5 * * * * /opt/backup b\n\n',
    ],
    [
      'the same with other flags, which is another job',
      '5 * * * * /opt/backup b --quick',
      '5 * * * * /opt/backup b --quick\n\n',
    ],
  ])('are put behind %s', (_name, there, before) => {
    const [start, rest = ''] = crontabWith(there, jobs, 'verda').split(/(?=^# BEGIN)/m)
    expect(before === '' ? '' : start).toBe(before)
    expect(rest || start).toContain(jobs)
  })
})
