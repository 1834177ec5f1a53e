import { sourceName, warningText, whatIsUnreadable } from '../../acceptance.ts'
import { type Job, modelSource } from '../../backup/plan.ts'
import type { Survey } from '../../capture/capture.ts'
import { filesCapture } from '../../capture/files.ts'
import { imageCapture } from '../../capture/image.ts'
import { hangsText, listModels, modelFlaws } from '../../capture/models.ts'
import { restoreUnderWay, showMarker } from '../../capture/restoring.ts'
import { ok, warning, wrong } from '../../cli/finding.ts'
import type { Host } from '../../hosts/host.ts'
import { type HostName, items, restoringMarker, type Source } from '../../inventory.ts'
import { bytesInWords, firstOf } from '../../text.ts'
import type { Check, Checks, Context, Findings } from '../context.ts'

/** One check per item, and one per host. */
export const sources: Checks = ({ jobs }) => {
  const hosts = [...new Set(jobs.map(({ host }) => host))]
  return [...hosts.map(restoredCheck), ...jobs.map(itemCheck)]
}

function restoredCheck(name: HostName): Check {
  return {
    name,
    what: `that no restore of ${name} is unfinished`,
    uses: usedFor(name),
    async check(context) {
      const host = await context.host(name)
      const marker = below(host, restoringMarker)
      const { is } = await restoreUnderWay(host)
      if (is === 'no') return ok('no unfinished restore is marked there')
      if (is === 'unseen')
        return wrong('this user cannot see whether it is half restored', `on ${name} run: ${showMarker}`)
      return wrong(
        `is half restored (${marker} exists): no backup captures it`,
        `let the restore finish. If none is running, delete that file, or on ${name} run: comfyume-backup restore --full`,
      )
    },
  }
}

function usedFor(host: HostName): string[] {
  return host === 'verda' ? ['VERDA_SSH', 'VERDA_ROOT'] : ['MELLO_ROOT']
}

/** Long, because a home may hold a million files. */
const walkSeconds = 300

function itemCheck(job: Job): Check {
  return {
    name: job.item,
    what: `${job.title}, on ${job.host}`,
    uses: [...usedFor(job.host), 'PROJECT_DIR', 'MELLO_PROJECT_DIR', 'MODELS_DIR', 'TOOLKIT_DIR'],
    limit: walkSeconds,
    check: (context) => checkItem(context, job),
  }
}

/** Asks what a backup asks before reading an item. */
async function checkItem(context: Context, { item, host: name, capture }: Job): Promise<Findings> {
  const { settings } = context
  const host = await context.host(name)
  switch (capture.kind) {
    case 'files':
      return checkFiles(
        host,
        capture.sources,
        items.some(({ name, essential }) => name === item && essential),
      )
    case 'repository':
      // Its files are read one by one, so each must be a valid source.
      return (await Promise.all(capture.sources.map((source) => checkFiles(host, [source])))).flat()
    case 'image':
      return surveyed(
        await imageCapture(host, item, settings.images[item], settings.containerEngine).survey(),
        `on ${name}`,
      )
    case 'models':
      return checkModels(host, modelSource(name, capture, settings), settings.now ?? new Date())
  }
}

async function checkFiles(host: Host, sources: readonly Source[], essential = false): Promise<Findings> {
  const survey = await filesCapture(host, sources).survey()
  if (survey.state === 'absent' && essential)
    return wrong(`${survey.reason}, but every restore needs it`, 'install it: docs/setup.md, "Verda"')
  if (survey.state === 'absent') return ok(survey.reason)
  const named = `${sources.map(sourceName).join(', ')} on ${host.name}`
  const unreadable = whatIsUnreadable(survey.warnings)
  if (unreadable.length > 0)
    return wrong(
      `${named}: ${firstOf(unreadable)}`,
      'let the user who makes the backups read it (chown, setfacl), or move it elsewhere',
    )
  return surveyed(survey, named)
}

function surveyed(survey: Survey, named: string): Findings {
  if (survey.state === 'absent') return ok(survey.reason)
  const holds = `${named}, ${bytesInWords(survey.bytes)}`
  if (survey.warnings.length === 0) return ok(holds)
  return warning(
    `${holds}; ${firstOf(survey.warnings.map(warningText))}`,
    'check whether you need it: every backup repeats this warning',
  )
}

async function checkModels(host: Host, source: ReturnType<typeof modelSource>, now: Date): Promise<Findings> {
  const listing = await listModels(host, source)
  const { models, others, hanging } = listing
  const { failures, warnings } = modelFlaws(listing, now)
  const bytes = models.reduce((sum, model) => sum + model.bytes, 0)
  const said = `${models.length} models, ${bytesInWords(bytes)}, in ${source.path} on ${host.name}`
  if (hanging.length > 0)
    return wrong(
      `${said}; ${firstOf(hanging.map(hangsText))}`,
      'check that its server is up, or unmount it (umount -l)',
    )
  if (failures.length > 0)
    return wrong(`${said}; ${firstOf(failures)}`, 'repair or remove them: they are not backed up')
  if (warnings.length > 0)
    return warning(`${said}; ${firstOf(warnings)}`, 'wait until they are whole: the next backup stores them')
  if (others.length > 0)
    return warning(
      `${said}; no rule covers ${firstOf(others)}`,
      `only ${source.extension} files in ${source.folders.join(', ')} are backed up: move them, or add the folder to lib/inventory.ts`,
    )
  return ok(said)
}

function below(host: Host, file: string): string {
  return (host.root === '/' ? '' : host.root) + file
}
