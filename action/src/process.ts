/** Child processes: no shell, a bounded time, a bounded output, an environment of our choosing. */

import { spawn } from 'node:child_process'

export interface Result {
  /** The exit code; null when the process was killed or could not be started. */
  code: number | null
  stdout: string
  stderr: string
  /** Why there is no exit code, or that output was cut; empty otherwise. */
  problem: string
}

export interface RunOptions {
  cwd: string
  env?: Record<string, string>
  timeoutMs?: number
  /** Bytes of each stream that are kept. */
  maxOutput?: number
}

// What a program needs to start and to find its files. Tokens, inputs of the action, PYTHONPATH and
// the like are not handed on.
const HANDED_ON = [
  ...[
    'PATH',
    'HOME',
    'LANG',
    'LC_ALL',
    'TMPDIR',
    'TEMP',
    'TMP',
    'SYSTEMROOT',
    'COMSPEC',
    'PATHEXT',
  ],
  ...['USERPROFILE', 'APPDATA', 'LOCALAPPDATA', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NO_PROXY'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'no_proxy', 'http_proxy', 'https_proxy'],
]

/** The environment of a child process: what programs need, and `more`. */
export function environment(more: Record<string, string> = {}): Record<string, string> {
  const kept = HANDED_ON.flatMap((name) => {
    const value = process.env[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return { ...Object.fromEntries(kept), ...more }
}

/** Runs a program to its end. Never throws: what went wrong is in the result. */
export function run(
  program: string,
  args: readonly string[],
  options: RunOptions,
): Promise<Result> {
  const { cwd, env = environment(), timeoutMs = 600_000, maxOutput = 64 * 1024 * 1024 } = options
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let problem = ''
    const streams = [child.stdout, child.stderr].map((stream) => {
      const chunks: Buffer[] = []
      let size = 0
      stream.on('data', (chunk: Buffer) => {
        if (size + chunk.length > maxOutput) problem ||= `it wrote more than ${maxOutput} bytes`
        else chunks.push(chunk)
        size += chunk.length
      })
      return () => Buffer.concat(chunks).toString('utf8')
    })
    const timer = setTimeout(() => {
      problem = `it did not end within ${Math.round(timeoutMs / 1000)} seconds`
      child.kill('SIGKILL')
    }, timeoutMs)
    const end = (code: number | null) => {
      clearTimeout(timer)
      resolve({ code, stdout: streams[0]?.() ?? '', stderr: streams[1]?.() ?? '', problem })
    }
    child.on('error', (error) => {
      problem ||= error.message
      end(null)
    })
    child.on('close', (code, signal) => {
      if (code === null) problem ||= `it was killed by ${signal}`
      end(problem.startsWith('it did not end') ? null : code)
    })
  })
}
