/** Common ways to do it, as bash lines. tar is the plain command that people type. */
export const tarHome = (root: string) => `tar -C ${root} -cf - home/dev`

/** With this project's own flags: sorted, numeric owners, attributes. */
export const tarHomeAlike = (root: string) =>
  `tar -C ${root} --sort=name --numeric-owner --xattrs --acls -cf - home/dev`

/** Streams of unknown length, in parts as large as ours; rclone's default of 5 MiB is slower. */
export const rcat = (bucket: string) => `rclone rcat --s3-chunk-size 16Mi s3:${bucket}/home-dev.tar.gz`

export const awsFromPipe = (bucket: string) =>
  `aws --endpoint-url "$S3" s3 cp --only-show-errors - s3://${bucket}/home-dev.tar.gz`

/** restic requires a password; borg runs without encryption. Caches are below the comparison's folder. */
export const repositoryEnv = (folder: string) => ({
  RESTIC_PASSWORD: 'bench',
  RESTIC_CACHE_DIR: `${folder}/cache/restic`,
  BORG_BASE_DIR: `${folder}/cache/borg`,
  BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
})

export const resticChecks = 'chunks hashed, encrypted; not read back'
export const borgChecks = 'chunks hashed, lz4, not encrypted; not read back'
