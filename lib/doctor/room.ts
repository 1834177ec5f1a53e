import { bytesInWords } from '../cli/words.ts'
import { type Finding, ok, warning, wrong } from './check.ts'

/** Homes of about 6.5 GB and images of about 20 GB (facts, "R2 Buckets"): what one whole run writes. */
const wholeRunBytes = 27e9
/** Not even the configuration's archives are sure to fit. */
const leastBytes = 2e9

/** Whether a folder has room for what comes next. `how` completes the sentence: `can be written to, with`. */
export function judgeRoom(folder: string, how: string, freeBytes: number): Finding {
  const found = `${folder} ${how} ${bytesInWords(freeBytes)} free`
  const todo = `make room, or make the disk larger: du -xh --max-depth=2 ${folder} | sort -h | tail`
  if (freeBytes < leastBytes) return wrong(found, todo)
  if (freeBytes < wholeRunBytes)
    return warning(`${found}: less than the ${bytesInWords(wholeRunBytes)} of homes and images`, todo)
  return ok(found)
}
