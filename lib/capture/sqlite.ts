/**
 * Bash for packScript: a database that others write to is taken through sqlite3, which copies a consistent state.
 * `stage_databases PATTERN…` puts such copies below $stage/$staged_root, with the mode, owner and times of the original, and their
 * paths into the array `databases`. What sqlite3 cannot read, or where the tool or the room for copies is missing, goes into the
 * archive as the files that it is.
 *
 * The copy is made within one reading transaction: without it, .backup begins anew after every write of another process,
 * and never ends where they come often.
 *
 * A database in WAL mode without its -wal file is open nowhere: it is consistent as it lies, and opening it would
 * write beside it.
 */
export const stageDatabases = `
staged_root=comfyume-staged-database
databases=()
stage_databases() {
  local prune=() pattern file copy
  for pattern in "$@"; do prune+=(-o -path "$pattern"); done
  while IFS= read -r -d '' file; do
    [[ $(head -c 15 -- "$file" | tr -d '\\0') == 'SQLite format 3' ]] || continue
    [[ -e $file-wal || $(od -An -tu1 -j18 -N1 -- "$file") -ne 2 ]] || continue
    copy=$stage/$staged_root/$file
    mkdir -p -- "\${copy%/*}" && cp -a --attributes-only -- "$file" "$copy" || continue
    if sqlite3 -readonly "$file" '.timeout 10000' 'BEGIN; SELECT 1 FROM sqlite_master LIMIT 1;' \\
      ".backup main '$stage/database'" && cat "$stage/database" >"$copy"; then
      touch -r "$file" -- "$copy"
      databases+=("$file")
    fi
    rm -f -- "$stage/database"
  done < <(find "\${paths[@]}" -xdev \\( -false "\${prune[@]}" \\) -prune -o -type f -size +0 \\
    \\( -name '*.db' -o -name '*.sqlite' -o -name '*.sqlite3' \\) -print0)
} >/dev/null 2>&1
`

/**
 * Bash for packScript: makes the folder $stage, named for the process that calls. First those of runs that were killed are removed, with the copies in them:
 * a kill without warning leaves nobody to do it.
 */
export const makeStage = `
make_stage() {
  local folder=\${TMPDIR:-/tmp} own=$BASHPID old pid
  for old in "$folder"/comfyume-stage-*; do
    pid=\${old##*/comfyume-stage-}
    pid=\${pid%%-*}
    [[ $pid =~ ^[0-9]+$ && -O $old && ! -L $old && ! -e /proc/$pid ]] || continue
    rm -rf -- "$old"
  done
  stage=$(mktemp -d -- "$folder/comfyume-stage-$own-XXXXXX")
} 2>/dev/null
`

/** Shared memory of open databases: rebuilt by whoever opens them, changed by whoever reads them. */
export const sqliteSharedMemory = ['*.db-shm', '*.sqlite-shm', '*.sqlite3-shm']

/** Logs of open databases; root changes their ctime, though nothing in them, by opening the database to read. */
export const sqliteLogs = ['*.db-wal', '*.sqlite-wal', '*.sqlite3-wal']
