type Xml = { [name: string]: string | number | boolean | Xml[] }

/** An XML document in S3's form. A list becomes one element per entry. */
export function xml(name: string, fields: Xml): string {
  return `<?xml version="1.0" encoding="UTF-8"?><${name}>${elements(fields)}</${name}>`
}

function elements(fields: Xml): string {
  return Object.entries(fields)
    .map(([name, value]) =>
      Array.isArray(value)
        ? value.map((inner) => `<${name}>${elements(inner)}</${name}>`).join('')
        : `<${name}>${escapeXml(String(value))}</${name}>`,
    )
    .join('')
}

function escapeXml(text: string): string {
  return text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
}
