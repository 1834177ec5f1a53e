import { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'

/** A page of a thousand of the longest keys is 7 MB of XML. */
const mostBytes = 16 * 2 ** 20

/**
 * Makes a client give up an answer that is no object's content when it grows beyond all measure or has not ended `milliseconds` after it began:
 * the SDK collects it in memory, for as long as something comes.
 */
export function boundAnswers(client: S3Client, milliseconds: number): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args)
      const response = result.response as { statusCode: number; body?: unknown }
      const isContent = context.commandName === 'GetObjectCommand' && response.statusCode < 300
      if (!isContent && response.body instanceof Readable)
        response.body = Readable.from(bounded(response.body, milliseconds), { objectMode: false })
      return result
    },
    // Nearest to the network: before the SDK reads the answer.
    { step: 'deserialize', priority: 'low', name: 'boundAnswers' },
  )
}

async function* bounded(body: Readable, milliseconds: number): AsyncGenerator<Buffer> {
  const timer = setTimeout(
    () => body.destroy(failure('TimeoutError', 'the answer does not end')),
    milliseconds,
  )
  let bytes = 0
  try {
    for await (const chunk of body) {
      bytes += chunk.length
      if (bytes > mostBytes) throw failure('AnswerTooLong', 'the answer is longer than any that S3 gives')
      yield chunk
    }
  } finally {
    clearTimeout(timer)
  }
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code })
}
