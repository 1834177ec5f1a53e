import dayjs from 'dayjs'
import customParseFormat from 'dayjs/plugin/customParseFormat.js'
import utc from 'dayjs/plugin/utc.js'

dayjs.extend(utc)
dayjs.extend(customParseFormat)

const formats = ['YYYY-MM-DD', 'YYYY-MM-DDTHH:mm', 'YYYY-MM-DDTHH:mm:ss', 'YYYY-MM-DDTHH:mm:ss.SSS']

/**
 * An ISO time that exists in the calendar, in UTC unless it says otherwise; undefined for anything else, and for what an offset
 * takes out of the years 0 to 9999, which are as far as such texts go.
 */
export function readTime(text: string): Date | undefined {
  // As this program itself writes it: records and reports are read by the thousand.
  const written = new Date(text)
  if (!Number.isNaN(written.getTime()) && written.toISOString() === text) return written
  const [, local = '', sign, hours = '0', minutes = '0'] =
    /^(.*?)(?:Z|([+-])(\d{2}):(\d{2}))?$/.exec(text) ?? []
  const time = formats.map((format) => dayjs.utc(local, format, true)).find((parsed) => parsed.isValid())
  if (time === undefined || Number(hours) > 14 || Number(minutes) > 59) return undefined
  const ahead = (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes))
  const utcTime = time.subtract(ahead, 'minute').toDate()
  return /^\d{4}-/.test(utcTime.toISOString()) ? utcTime : undefined
}
