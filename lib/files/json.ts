import * as v from 'valibot'
import { readTime } from '../naming.ts'

/** Schemas for untrusted JSON: a part that does not fit is dropped, and the rest is kept. */

/** An ISO time with a real calendar date. */
export const timeText = v.pipe(
  v.string(),
  v.check((text) => readTime(text) !== undefined),
)

/** timeText as a Date. */
export const time = v.pipe(
  timeText,
  v.transform((text) => readTime(text) as Date),
)

/** A number of bytes or things. */
export const size = v.pipe(v.number(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))

/** Undefined for a value that does not fit. */
export function orNone<const Schema extends v.GenericSchema>(schema: Schema) {
  return v.fallback(v.optional(schema), undefined)
}

/** Drops entries that do not fit. Empty when it is not a list. */
export function listOf<const Schema extends v.GenericSchema>(schema: Schema) {
  return v.fallback(
    v.pipe(
      v.array(v.unknown()),
      v.transform((all) =>
        all.flatMap((one) => {
          const read = v.safeParse(schema, one)
          return read.success ? [read.output] : []
        }),
      ),
    ),
    [],
  )
}

/** Parses JSON of this form. Undefined when it does not fit. */
export function readJson<const Schema extends v.GenericSchema>(
  schema: Schema,
  text: string,
): v.InferOutput<Schema> | undefined {
  const read = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text)
  return read.success ? read.output : undefined
}
