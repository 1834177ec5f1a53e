import type { Exceptions, Stock } from '../../demo/stock.ts'
import type { BareMachine } from '../servers/bare-machine.ts'

/**
 * Lists everything below some paths of a machine, in Python instead of our code: content, mode, owner, time
 * in nanoseconds, links, hard links, holes, and extended attributes with ACLs and capabilities.
 */
export async function stockOf(
  machine: Pick<BareMachine, 'do'>,
  paths: readonly string[],
  except: Partial<Exceptions> = {},
): Promise<Stock> {
  const input = JSON.stringify({ paths, whole: except.whole ?? [], alone: except.alone ?? [] })
  const said = await machine.do(['python3', '-c', script], { input })
  return new Map(JSON.parse(said) as [string, Record<string, string>][])
}

const script = `
import hashlib, json, os, stat, sys

asked = json.load(sys.stdin)
stock, first_names = [], {}


def digest(file):
    sums = hashlib.sha256()
    with open(file, 'rb') as content:
        while chunk := content.read(1 << 20):
            sums.update(chunk)
    return sums.hexdigest()


def visit(file, device):
    name = file.decode('latin1')
    if name in asked['whole']:
        return
    about = os.lstat(file)
    facts = {
        'type': str(stat.S_IFMT(about.st_mode) >> 12),
        'mode': oct(stat.S_IMODE(about.st_mode))[2:],
        'owner': f'{about.st_uid}:{about.st_gid}',
        'time of change': str(about.st_mtime_ns),
    }
    for attribute in sorted(os.listxattr(file, follow_symlinks=False)):
        facts[attribute] = os.getxattr(file, attribute, follow_symlinks=False).hex()
    if stat.S_ISLNK(about.st_mode):
        facts['link'] = os.readlink(file).decode('latin1')
    if stat.S_ISREG(about.st_mode):
        facts['content'] = f'{about.st_size} bytes, sha256 {digest(file)}'
        facts['holes'] = 'some' if about.st_blocks * 512 < about.st_size else 'none'
        first = first_names.setdefault(about.st_ino, name)
        if about.st_nlink > 1:
            facts['hard link'] = first
    if name not in asked['alone']:
        stock.append([name, facts])
    if stat.S_ISDIR(about.st_mode) and about.st_dev == device:
        for child in sorted(os.listdir(file)):
            visit(os.path.join(file, child), device)


for path in asked['paths']:
    file = path.encode('latin1')
    if os.path.lexists(file):
        visit(file, os.lstat(file).st_dev)
json.dump(stock, sys.stdout)
`
