/** All that a child gets of this process's environment: keys and locale stay here, and no `SendEnv` can pass them on. */
const PASSED = ['HOME', 'LOGNAME', 'PATH', 'SHELL', 'SSH_AUTH_SOCK', 'TMPDIR', 'USER', 'XDG_RUNTIME_DIR']

export function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(PASSED.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])))
}
