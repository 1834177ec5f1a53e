/** A printed text without what differs from run to run: folders, digests, sizes of what was compressed, times of the run itself, and columns made for them. */
export function steady(text: string, folder: string): string {
  return text
    .replaceAll(folder, '/workshop')
    .replace(/comfyume-demo-\w+/g, 'comfyume-demo')
    .replace(/, in (?:\d[\d.]* \w+ ?)+$/gm, ', in SECONDS')
    .replace(/\b\d+ requests\b/g, 'N requests')
    .replace(/\b[0-9a-f]{12,64}\b/g, 'DIGEST')
    .replace(/\b\d[\d.]* (?:bytes|KB|MB|GB)\b/g, 'SIZE')
    .replace(/\$\d+\.\d\d/g, '$COST')
    .replace(/\b\d+ days ahead/g, 'N days ahead')
    .replace(/(SIZE free of SIZE), .*/g, '$1, GROWTH')
    .replace(/(?<=\S) {2,}/g, '  ')
    .replace(/ +$/gm, '')
}
