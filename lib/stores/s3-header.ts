import type { UploadPartCommand } from '@aws-sdk/client-s3'

/** Of what is sent. Given as a header, it is signed as it is; else the SDK makes the digest itself, once more. */
export const signedDigest = 'x-amz-content-sha256'

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
