/**
 * For scripts that pack: the best compressor that the host has, writing gzip without a name or a time in it, so that
 * the same bytes in give the same bytes out. Used as `… | "${compressor[@]}"`.
 */
export const chooseCompressor = `
if command -v igzip >/dev/null; then compressor=(igzip -n -c)
elif command -v pigz >/dev/null; then compressor=(pigz -n -c)
else compressor=(gzip -n -c); fi
`
