import type { UploadPartCommand } from '@aws-sdk/client-s3'

/** Sends a header that the SDK has no parameter for. It is signed. */
export function setHeader(command: object, name: string, value: string): void {
  const { middlewareStack } = command as Pick<UploadPartCommand, 'middlewareStack'>
  middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { headers: Record<string, string> }
      headers[name] = value
      return next(args)
    },
    { step: 'build', name: `set ${name}` },
  )
}
