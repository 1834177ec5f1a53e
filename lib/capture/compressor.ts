/**
 * For scripts that pack: the best compressor that the host has, writing gzip without a name or a time in it, so that
 * the same bytes in give the same bytes out. Used as `… | "${compressor[@]}"`.
 */
export const chooseCompressor = `
if command -v igzip >/dev/null; then compressor=(igzip -n -c)
elif command -v pigz >/dev/null; then compressor=(pigz -n -c)
else compressor=(gzip -n -c); fi
`

/**
 * For scripts that read archives of others, before tar: its memory (in KiB) gets a bound, because it takes a name of any length into memory, and a few KB can unpack
 * to gigabytes. A million folders need an eighth of it.
 */
export const boundMemory = 'ulimit -v 2097152'

/** For scripts that unpack: the counterpart, from standard input to standard output; each of them checks the sum at the end. */
export const chooseDecompressor = `
if command -v igzip >/dev/null; then decompressor=(igzip -dc)
elif command -v pigz >/dev/null; then decompressor=(pigz -dc)
else decompressor=(gzip -dc); fi
`

/**
 * For scripts that read archives from a pipe, right behind tar: whoever wrote an archive filled its last record up, to a size of their choice, and tar stops before.
 * What is left is read too, or the writer would be killed for a pipe that nobody reads. No honest archive has more of it.
 */
export const readToItsEnd = 'code=$?; [ "$code" -gt 1 ] || head -c 16777216 >/dev/null; exit "$code"'
