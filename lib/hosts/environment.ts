/** All that a child gets of this process's environment: keys and locale stay here, and no `SendEnv` can pass them on. */
const PASSED = ['HOME', 'LOGNAME', 'PATH', 'SHELL', 'SSH_AUTH_SOCK', 'TMPDIR', 'USER', 'XDG_RUNTIME_DIR']

export function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}

/** For execa, the same: tools of this machine with nothing but what they need, speaking English. */
export function toolEnvironment(): { env: NodeJS.ProcessEnv; extendEnv: false } {
  return { env: { ...childEnvironment(), LC_ALL: 'C' }, extendEnv: false }
}

/** The same for commands of the system itself, with the folders that a bare PATH, as cron has it, lacks. */
export function systemEnvironment(): NodeJS.ProcessEnv {
  const sbin = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return { ...childEnvironment(), PATH: [process.env.PATH, sbin].filter(Boolean).join(':') }
}
