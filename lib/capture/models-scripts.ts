/** What the listing exits with when its folder, or the mount that it lies on, is not there. */
export const exitNoModels = 40
export const exitNotMounted = 41

/**
 * Arguments: the folder of the models, a path that must be a mount point or nothing, the extension, the folders that count.
 * Prints records that end in NUL: "model SIZE MTIME PATH" for each file that counts, links followed; "broken PATH" for
 * a link to nowhere; "other PATH" for what no rule covers.
 */
export const listScript = `
[[ -z $2 ]] || mountpoint -q -- "$2" || exit ${exitNotMounted}
cd -- "$1" 2>/dev/null || exit ${exitNoModels}
extension=$3
shift 3
declare -A counts
for folder in "$@"; do
  counts[$folder]=1
  [[ -d $folder ]] || continue
  find -L "$folder" -type f -name "*$extension" -printf 'model %s %T@ %p\\0' -o -type l -printf 'broken %p\\0' \\
    -o -type f -printf 'other %p\\0' || exit 1
done
shopt -s nullglob dotglob
for entry in *; do
  [[ -n \${counts[$entry]-} && -d $entry ]] || printf 'other %s\\0' "$entry"
done
`

/**
 * Arguments: the folder of the models, a model's path below it. The file's bytes; a file that is not the same
 * afterwards ends with 42.
 */
export const exitChanged = 42
export const readScript = `
cd -- "$1" || exit ${exitNoModels}
before=$(stat -L -c '%s %Y %Z %i' -- "$2") || exit 1
cat -- "$2" || exit 1
[[ $(stat -L -c '%s %Y %Z %i' -- "$2") == "$before" ]] || exit ${exitChanged}
`
