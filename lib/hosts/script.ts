import { randomBytes } from 'node:crypto'

/** A script made ready to run: the command, and the two marks between which its standard output lies. */
export interface Command {
  /** `bash` and its arguments, for a spawn without a shell. */
  argv: string[]
  begin: Buffer
  end: Buffer
}

/**
 * Wraps a script so that its standard output is `<begin>bytes<end> 0 0\n`, the numbers being the exit codes of the
 * last pipeline's processes, or the one code that an early `exit` gave. All goes down one pipe, in order, so who
 * has read the end has every byte before it; standard error could overtake standard output on a lost connection.
 *
 * Standard input is the lifeline: when it closes, whatever the script started is killed, on this machine, below
 * sudo and at the far end of ssh. The script itself reads /dev/null. It must not set an EXIT trap of its own, nor
 * redirect its own standard output with `exec`: its end would not be heard of, which counts as a failure.
 */
export function wrapScript(script: string, args: string[]): Command {
  const mark = randomBytes(8).toString('hex')
  const begin = `@comfyume-begin ${mark}\n`
  const end = `@comfyume-end ${mark}`
  const whole = `${preamble(begin, end)}\n${script}\n${trailer}`
  return {
    // Without --norc, bash takes a socket on standard input for a remote login and runs ~/.bashrc. With -p it reads no BASH_ENV, and takes no
    // functions and no options from its environment.
    argv: ['bash', '--norc', '-p', '-o', 'pipefail', '-c', whole, 'bash', ...args],
    begin: Buffer.from(begin),
    end: Buffer.from(end),
  }
}

/** One line of shell for a POSIX sh, bash or zsh at the far end, which gives way to the command. */
export function shellLine(argv: string[]): string {
  return `exec ${argv.map(quote).join(' ')}`
}

export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`
}

/** What a machine may have in its environment for people, and what would change what the tools here do: tar would leave files out. */
const misleading = ['TAR_OPTIONS', 'GZIP', 'PIGZ', 'GREP_OPTIONS', 'PERL5OPT', 'PERL5LIB', 'POSIXLY_CORRECT']

/** A signal must not look like an end: bash runs its EXIT trap with `$?` 0 when it is terminated between commands. */
const preamble = (begin: string, end: string) => `
set +o posix
unset ${misleading.join(' ')}
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
{ read -r -N 1; kill -KILL 0; } <&0 >/dev/null 2>&1 &
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
