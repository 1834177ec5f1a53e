/**
 * Bash: sets `compressor` to the best one on the host. It writes gzip without name and time, so that equal
 * input gives equal output. Use as `… | "${compressor[@]}"`.
 */
export const chooseCompressor = `
if command -v igzip >/dev/null; then compressor=(igzip -n -c)
elif command -v pigz >/dev/null; then compressor=(pigz -n -c)
else compressor=(gzip -n -c); fi
`

/**
 * Bash: limits memory (KiB) for untrusted archives, because tar holds a name of any length in memory. A
 * million folders need an eighth of it.
 */
export const boundMemory = 'ulimit -v 2097152'

/** Bash: sets `decompressor`, from standard input to standard output. All of them verify the checksum. */
export const chooseDecompressor = `
if command -v igzip >/dev/null; then decompressor=(igzip -dc)
elif command -v pigz >/dev/null; then decompressor=(pigz -dc)
else decompressor=(gzip -dc); fi
`

/**
 * Bash, after tar in a pipe: reads the padding behind the archive's end, so that the writer is not killed by
 * a broken pipe. Real archives have less than 16 MiB of it.
 */
export const readToItsEnd = 'code=$?; [ "$code" -gt 2 ] || head -c 16777216 >/dev/null; exit "$code"'
