import { $ } from 'zx'
import { recordName } from '../naming.ts'

/**
 * Checks an archive against the record that lies beside it and puts its files back below `root`, as README.md tells it
 * for an emergency. Returns the commands as one would type them. Throws when archive and record differ.
 */
export async function restoreByHand(folder: string, archive: string, root: string): Promise<string> {
  const here = $({ cwd: folder, quiet: true, nothrow: true })
  const check = here`sha256sum -c ${recordName(archive)}`
  const checked = await check
  if (!checked.ok) throw new Error(`${check.cmd}: ${checked.stdout}${checked.stderr}`)
  // Owners by number, because a new machine has other names; access lists and attributes too.
  const unpack = here`tar -xpf ${archive} --numeric-owner --acls --xattrs -C ${root}`
  const unpacked = await unpack
  if (!unpacked.ok) throw new Error(`${unpack.cmd}: ${unpacked.stderr}`)
  return `${check.cmd} && ${unpack.cmd.replace(/ -C .*/, ' -C /')}`
}
