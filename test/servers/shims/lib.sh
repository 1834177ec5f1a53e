# The start of every shim: logs the call, and fails if a test says so.
shim=${0##*/}
mkdir -p /var/lib/shims /run/shims
{
  printf '%s' "$shim"
  [[ $# -eq 0 ]] || printf ' %q' "$@"
  echo
} >>/var/lib/shims/calls
if [[ -e /var/lib/shims/fail/$shim ]]; then
  cat "/var/lib/shims/fail/$shim" >&2
  exit 1
fi
