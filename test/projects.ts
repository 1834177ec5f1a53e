import { globbySync } from 'globby'

/**
 * Which test file is in which project. docs/testing.md says what each project is. A test file that no list here names is in
 * `integration`, so that a new test needs no line here.
 */

/** No process is started, no server listens: test/setup/unit.ts sees to it. */
const unit = [
  'test/{acceptance,age,chain,copies,crontab-lines,crontab-reader,house,inventory,lock-file,naming,projects,restore-order,retention*,security,time,words}.test.ts',
  'test/backup/{fan-out,kept-reports,place,plan,rotate,select,show,shutdown}.test.ts',
  'test/capture/{complaint,list,pattern}.test.ts',
  'test/cli/{colour,flags,help,progress,remedies,start-up}.test.ts',
  'test/docs/{architecture,help,pages}.test.ts',
  'test/doctor/**/*.test.ts',
  'test/fuzz/{flags,listings,names,records,settings,stored-json,streams}.test.ts',
  'test/hosts/lines.test.ts',
  'test/life/memory-store.test.ts',
  'test/restore/{fstab,newer}.test.ts',
  'test/restore/files/{hold-tail,mapping,staging}.test.ts',
  'test/restore/plan/**/*.test.ts',
  'test/settings/**/*.test.ts',
  'test/status/{page,judge/*,look/{memory,wanted}}.test.ts',
  'test/stores/digests.test.ts',
  'test/stores/directory/write-body.test.ts',
  'test/stores/s3/guard.test.ts',
  'test/verify/{adopt,budget,memory,order}.test.ts',
]

/** The thin slice of the end-to-end tests that `npm test` runs: a few of each kind, all quick. */
const smoke = [
  'test/smoke/**/*.test.ts',
  'test/backup/locks.test.ts',
  'test/cli/main.test.ts',
  'test/hosts/local.test.ts',
  'test/security/{environment,planted-cache}.test.ts',
]

/** What integration may do, too costly for every run: more than ten seconds of CPU a file, or minutes of waiting. */
const slow = [
  'test/{backup,restore}/chains.test.ts',
  'test/capture/files.test.ts',
  'test/scripts/{at-once,backup-after-restore,backup-cron-faults,backup-verda,doctor-mello,doctor-stores,doctor-verda,hanging,models,verify,verify-adopt,verify-findings}.test.ts',
  'test/security/canaries.test.ts',
]

/** A real process is the point: kills, signals, users, locks, start-up, the README's commands; and short rounds of campaigns and races. */
const e2e = [
  'test/e2e/**/*.test.ts',
  'test/{demo,left-out}.test.ts',
  'test/docs/commands.test.ts',
  'test/cli/output.test.ts',
  'test/faults/{found,oracle}.test.ts',
  'test/life/life.test.ts',
  'test/scripts/{backup-cron-kill,restore-interrupted,restore-killed}.test.ts',
  'test/security/swapped-*.test.ts',
]

/** Real servers and tools, which .ci/install brings. */
const real = ['test/real/**/*.test.ts']

/** Whole systems in qemu, one scenario at a time: .ci/install-machines makes their disk. */
const machines = ['test/machines/**/*.test.ts']

const listed = { unit, smoke, slow, e2e, real, machines }

export const projects = {
  ...listed,
  integration: [
    'test/**/*.test.ts',
    ...Object.values(listed).flatMap((patterns) => patterns.map((pattern) => `!${pattern}`)),
  ],
}

export type ProjectName = keyof typeof projects

/** What `npm test` runs, and what `npm run test:all` runs. */
export const quick: readonly ProjectName[] = ['unit', 'integration', 'smoke']
export const all: readonly ProjectName[] = [...quick, 'slow', 'e2e']

/** The files of a project, sorted; `root` is the folder of package.json. */
export function filesOf(name: ProjectName, root: string): string[] {
  return globbySync(projects[name], { cwd: root }).sort()
}
