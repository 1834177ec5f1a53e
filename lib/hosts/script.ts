import { randomBytes } from 'node:crypto'
import { quote } from '../text.ts'
import { bash } from './process.ts'

/** A wrapped script: its command, and the two marks around its standard output. */
export interface Command {
  /** `bash` and its arguments, to start without a shell. */
  argv: string[]
  begin: Buffer
  end: Buffer
}

/**
 * Wraps a script so that it prints `<begin>bytes<end> 0 0\n`, the numbers being its last pipeline's exit
 * codes. It is killed when standard input closes, even below sudo or ssh. `inputBytes` of that input go to
 * `$comfyume_input`. It must set no EXIT trap and not redirect output with `exec`.
 */
export function wrapScript(script: string, args: string[], inputBytes = 0): Command {
  const mark = randomBytes(8).toString('hex')
  const begin = `@comfyume-begin ${mark}\n`
  const end = `@comfyume-end ${mark}`
  return {
    argv: bash(`${preamble(begin, end, inputBytes)}\n${script}\n${trailer}`, args),
    begin: Buffer.from(begin),
    end: Buffer.from(end),
  }
}

/** Room for the end mark and the exit codes of about 200 processes. */
const tailBytes = 1024
/** Output is passed on in pieces of this size, so that readers handle fewer of them. */
const pieceBytes = 2 ** 20
/** How much text before the begin mark is kept for messages. */
const bannerBytes = 4096

const nothing = Buffer.alloc(0)

/** Splits a script's output into what a login shell printed first, the bytes and the exit codes. */
export function framing({ begin, end }: Pick<Command, 'begin' | 'end'>) {
  let begun = false
  let held = Buffer.alloc(0)
  let gathered: Buffer[] = []
  let bytes = 0

  function gather(): void {
    held = Buffer.concat([held, ...gathered])
    gathered = []
    bytes = 0
  }

  return {
    /** Returns bytes that are certainly output. Often empty, because bytes are collected first. */
    take(chunk: Buffer): Buffer {
      gathered.push(chunk)
      bytes += chunk.length
      if (begun && bytes < pieceBytes) return nothing
      gather()
      if (!begun) {
        const at = held.indexOf(begin)
        begun = at !== -1
        held = begun ? held.subarray(at + begin.length) : held.subarray(-bannerBytes)
      }
      const sure = held.subarray(0, begun ? Math.max(0, held.length - tailBytes) : 0)
      held = held.subarray(sure.length)
      return sure
    },

    /** Call at the end of the output. Without `exitCodes` the script was cut off and `rest` is useless. */
    finish(): { rest: Buffer; exitCodes?: number[] } {
      gather()
      const at = begun ? held.lastIndexOf(end) : -1
      if (at === -1) return { rest: held }
      const codes = /^((?: \d+)+)\n$/.exec(held.toString('latin1', at + end.length))?.[1]
      if (codes === undefined) return { rest: held }
      return { rest: held.subarray(0, at), exitCodes: codes.trim().split(' ').map(Number) }
    },

    begun: () => begun,

    /** The last text printed before the script began. */
    banner: () => (begun ? '' : held.toString().trim()),
  }
}

/** With `-n` sudo fails instead of asking for a password. */
export const SUDO = ['sudo', '-n', '--']

/** What to do when sudo did not start bash for this user. */
export function sudoAdvice(user: string): string {
  return [
    `Backups read files that only root may read. Let ${user} become root there without a password: as root, run`,
    '  visudo -f /etc/sudoers.d/comfyume-backup',
    'and give that file this one line (install the package sudo first if it is missing):',
    `  ${user} ALL=(root) NOPASSWD: /usr/bin/bash`,
  ].join('\n')
}

/** One line for sh, bash or zsh on the far host, which replaces that shell with the command. */
export function shellLine(argv: string[]): string {
  return `exec ${argv.map(quote).join(' ')}`
}

/** Variables that people may have set and that change what tools do, for example make tar skip files. */
const misleading = ['TAR_OPTIONS', 'GZIP', 'PIGZ', 'GREP_OPTIONS', 'PERL5OPT', 'PERL5LIB', 'POSIXLY_CORRECT']

/** Signals need traps: bash runs its EXIT trap with `$?` 0 when it is killed between two commands. */
const preamble = (begin: string, end: string, inputBytes: number) => `
set +o posix
unset ${misleading.join(' ')}
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
${
  inputBytes === 0
    ? '{ read -r -N 1; kill -KILL 0; } <&0 >/dev/null 2>&1 &'
    : `exec {comfyume_input}< <(head -c ${inputBytes}; exec >/dev/null 2>&1; read -r -N 1; kill -KILL 0)`
}
comfyume_lifeline=$!
disown
exec </dev/null
comfyume_codes=()
comfyume_end() {
  comfyume_code=$?
  [ \${#comfyume_codes[@]} -gt 0 ] || comfyume_codes=("$comfyume_code")
  kill -KILL "$comfyume_lifeline" 2>/dev/null || true
  printf '%s' '${end}'
  printf ' %d' "\${comfyume_codes[@]}"
  printf '\\n'
}
trap comfyume_end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
printf '%s' '${begin}'`

const trailer = `comfyume_codes=("\${PIPESTATUS[@]}")`
