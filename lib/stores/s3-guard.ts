import type { S3Client } from '@aws-sdk/client-s3'
import { StoreError } from './store.ts'

/** Every operation that this software may ask of an object store. There is none that takes anything away, not even an unfinished upload. */
export const allowedOperations = [
  'ListObjectsV2',
  'HeadObject',
  'GetObject',
  'PutObject',
  'CreateMultipartUpload',
  'UploadPart',
  'CompleteMultipartUpload',
  'ListMultipartUploads',
  'ListParts',
] as const

/** What gives a key its content: refused without `If-None-Match: *`, which makes the server refuse a key that is taken. */
const commits = ['PutObject', 'CompleteMultipartUpload']

/**
 * Makes a client throw a StoreError, before a byte is sent, on any operation that is not on the list, and on any that
 * could overwrite. The operation's name is looked at first of all, the HTTP method last of all.
 */
export function guard(client: S3Client, store: string): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const operation = String(context.commandName).replace(/Command$/, '')
      if (!allowedOperations.some((allowed) => allowed === operation)) throw refusal(store, operation)
      if (commits.includes(operation) && (args.input as { IfNoneMatch?: string }).IfNoneMatch !== '*') {
        throw refusal(store, `${operation} without If-None-Match`)
      }
      return next(args)
    },
    { step: 'initialize', priority: 'high', name: 'appendOnlyOperations' },
  )
  client.middlewareStack.add(
    (next) => async (args) => {
      const { method } = args.request as { method: string }
      if (!['GET', 'HEAD', 'PUT', 'POST'].includes(method)) throw refusal(store, `a ${method} request`)
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low', name: 'appendOnlyMethods' },
  )
}

function refusal(store: string, what: string): StoreError {
  return new StoreError(`${store}: refused to send ${what}: object stores are append-only`)
}
