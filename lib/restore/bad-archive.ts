/** This copy cannot be restored from; another one may serve. The message completes "the copy is no good: ". */
export class BadArchive extends Error {
  override name = 'BadArchive'
}

/** The copy may be good, but this machine cannot take it: no other copy would do better. */
export class CannotUnpack extends Error {
  override name = 'CannotUnpack'
}
