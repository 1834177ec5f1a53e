/** Prefix of the path, on standard error, of a database that could not be copied in one state. */
export const tornMark = '!'

/** copy_database's exit code for a file that is not a database, or not open (WAL mode without -wal). */
const exitNoNeed = 3

/**
 * Bash for packScript. `stage_databases ABOVE` copies databases in use, with their logs, to
 * $stage/$staged_root and fills `databases` and `copies`. Locked ones are packed as they are. A reader's
 * locks: PENDING and SHARED (os.h), CKPT and READ_LOCK(1) (https://sqlite.org/walformat.html#wal_locks).
 */
export const stageDatabases = `
staged_root=comfyume-staged-database
databases=() copies=()
copy_database() {
  perl -e '
    use Fcntl;
    use Errno;
    my ($name, $copy) = @ARGV;
    $^F = 255;
    sub opened {
      my $end = shift;
      sysopen(my $file, "./$name$end", O_RDONLY | O_NOFOLLOW | O_NONBLOCK) or $!{ENOENT} ? return : exit 1;
      -f $file or exit 1;
      return $file;
    }
    sub hold {
      my ($file, $start, $length) = @_;
      my $lock = pack "s s x4 q q l x4", F_RDLCK, 0, $start, $length, 0;
      fcntl $file, F_SETLKW, $lock or exit 1;
    }
    my $main = opened("") or exit 1;
    sysread $main, my $head, 20;
    exit ${exitNoNeed} if $head !~ /^SQLite format 3\\0/;
    my $has_log = ord(substr $head, 18) == 2;
    exit ${exitNoNeed} if $has_log && !-e "./$name-wal";
    alarm 10;
    hold($main, 0x40000000, 1);
    hold($main, 0x40000002, 510);
    my $index = $has_log && opened("-shm");
    if ($index) { hold($index, 121, 1); hold($index, 124, 1) }
    alarm 0;
    for my $end ("", "-wal", "-journal") {
      my $file = $end eq "" ? $main : opened($end) or next;
      system("cp", "--preserve=all", "--", "/proc/self/fd/" . fileno($file), "$copy$end") == 0 or exit 1;
    }
    exit 1 if $has_log && !$index && -e "./$name-shm"' -- "$@"
}
stage_databases() {
  local above=$1 file name copy end
  while IFS= read -r -d '' file; do
    copy=$stage/$staged_root/$file name=\${file#"$above"}
    (
      [[ -n \${stage-} ]] || exit
      mkdir -p -- "\${copy%/*}" && cd -P "/proc/self/fd/$parent" || exit
      [[ $name != */* ]] || step_into "\${name%/*}" || exit
      copy_database "\${name##*/}" "$copy" || exit
      [[ -e $copy-wal || -e $copy-journal ]] || exit 0
      touch -r "$copy" -- "$stage/time"
      ! sqlite3 "$copy" 'PRAGMA wal_checkpoint(TRUNCATE)' || touch -r "$stage/time" -- "$copy"
      exit 0
    )
    case $? in
      0)
        databases+=("$file")
        for end in '' -wal -journal; do [[ ! -e $copy$end ]] || copies+=("$staged_root/$file$end"); done
        ;;
      ${exitNoNeed}) ;;
      *)
        rm -f -- "$copy" "$copy-wal" "$copy-journal"
        printf '${tornMark}%q\\n' "$file" >&5
        ;;
    esac
  done < <(look -type f -readable -size +0 \\( -name '*.db' -o -name '*.sqlite' -o -name '*.sqlite3' \\) -print0 | only_chosen)
} 5>&2 >/dev/null 2>&1
`

/**
 * Bash: `make_folder PARENT` creates a private folder, sets `folder` and holds a lock on it. It first removes
 * folders of killed runs, which have no lock. Process ids would not do, because containers have their own.
 */
export const makeFolder = `
make_folder() {
  local old lock try
  for old in "$1"/comfyume-stage-*; do
    [[ -O $old && ! -L $old ]] && exec {lock}<"$old" || continue
    ! flock -n "$lock" || rm -rf -- "$old"
    exec {lock}<&-
  done
  # Another run can take a new folder for a dead one before it is locked.
  for try in {1..20}; do
    folder=$(mktemp -d -- "$1/comfyume-stage-XXXXXX") || return 1
    exec {lock}<"$folder" || continue
    ! flock -n "$lock" || [[ ! -d $folder ]] || return 0
    exec {lock}<&-
  done
  return 1
} 2>/dev/null
`

/** Shared memory of open databases. Opening rebuilds it, and reading changes it. */
export const sqliteSharedMemory = ['*.db-shm', '*.sqlite-shm', '*.sqlite3-shm']

/** Logs of open databases. root changes their ctime, but not their content, by opening the database. */
export const sqliteLogs = ['*.db-wal', '*.sqlite-wal', '*.sqlite3-wal']
