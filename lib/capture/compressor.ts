/**
 * In front of a command, gives the pipes on both its sides a MiB of room, the most that Linux gives everyone (F_SETPIPE_SZ), and a socket behind it too, which takes root
 * (SO_SNDBUFFORCE). igzip reads a MiB whole before it begins on it, and writes half of one at once: with the usual 64 KiB, whoever is before it and behind it waits meanwhile,
 * and two cores do the work of one. perl is in every Debian and Ubuntu; what it cannot widen, or without it, stays as it is.
 */
const widePipes = `
wide=()
! command -v perl >/dev/null ||
  wide=(perl -e 'fcntl $_, 1031, 1 << 20 for *STDIN, *STDOUT; setsockopt STDOUT, 1, 32, pack "i", 1 << 20; exec @ARGV; exit 127')
`

/**
 * For scripts that pack: the best compressor that the host has, writing gzip without a name or a time in it, so that
 * the same bytes in give the same bytes out. Used as `… | "${compressor[@]}"`.
 */
export const chooseCompressor = `
${widePipes}
if command -v igzip >/dev/null; then compressor=("\${wide[@]}" igzip -n -c)
elif command -v pigz >/dev/null; then compressor=("\${wide[@]}" pigz -n -c)
else compressor=("\${wide[@]}" gzip -n -c); fi
`

/**
 * For scripts that read archives of others, before tar: its memory (in KiB) gets a bound, because it takes a name of any length into memory, and a few KB can unpack
 * to gigabytes. A million folders need an eighth of it.
 */
export const boundMemory = 'ulimit -v 2097152'

/** For scripts that unpack: the counterpart, from standard input to standard output; each of them checks the sum at the end. */
export const chooseDecompressor = `
${widePipes}
if command -v igzip >/dev/null; then decompressor=("\${wide[@]}" igzip -dc)
elif command -v pigz >/dev/null; then decompressor=("\${wide[@]}" pigz -dc)
else decompressor=("\${wide[@]}" gzip -dc); fi
`

/**
 * For scripts that read archives from a pipe, right behind tar: whoever wrote an archive filled its last record up, to a size of their choice, and tar stops before.
 * What is left is read too, or the writer would be killed for a pipe that nobody reads. No honest archive has more of it.
 */
export const readToItsEnd = 'code=$?; [ "$code" -gt 1 ] || head -c 16777216 >/dev/null; exit "$code"'
