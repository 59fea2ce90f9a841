/**
 * A stand-in for the runner: starts an action as the runner does and reads what it writes likewise.
 *
 * Facts are those of actions/runner: `ActionCommand` (both forms of a command), `ActionCommandManager`
 * (stop-commands), `IssueCommandExtension` (columns), `ExecutionContext` (ten issues a level, 4,096
 * characters), `FileCommandManager` (command files), `CreateStepSummaryCommand` (1 MiB).
 */

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parse } from 'yaml'

export const ROOT = path.resolve(import.meta.dirname, '..', '..')

export interface Issue {
  level: string
  message: string
  properties: Record<string, string>
}

export interface Ran {
  code: number | null
  issues: Issue[]
  /** Issues that the runner would drop for being the eleventh of their level. */
  dropped: number
  log: string[]
  outputs: Record<string, string>
  summary: string
  temporary: string
}

const unescapeData = (text: string) =>
  text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%')
const unescapeProperty = (text: string) =>
  unescapeData(text.replaceAll('%3A', ':').replaceAll('%2C', ','))

interface Command {
  name: string
  properties: Record<string, string>
  data: string
}

/** A command in a line, in either of the runner's forms. */
export function parseCommand(line: string): Command | null {
  const second = /^\s*::([\w-]+)(?: ([^\n]*?))?::(.*)$/s.exec(line)
  if (second !== null) {
    const [, name = '', properties = '', data = ''] = second
    return { name, properties: pairs(properties, ','), data: unescapeData(data) }
  }
  const first = /##\[([\w-]+)(?: ([^\]]*))?\](.*)$/s.exec(line)
  if (first === null) return null
  const [, name = '', properties = '', data = ''] = first
  return { name, properties: pairs(properties, ';'), data }
}

function pairs(text: string, separator: string): Record<string, string> {
  const found = text.split(separator).flatMap((pair) => {
    const at = pair.indexOf('=')
    return at === -1
      ? []
      : [[pair.slice(0, at).trim(), unescapeProperty(pair.slice(at + 1))] as const]
  })
  return Object.fromEntries(found)
}

const ISSUES = ['error', 'warning', 'notice']

/** Reads standard output line by line as the runner does. */
export function readLog(stdout: string): Pick<Ran, 'issues' | 'dropped' | 'log'> {
  const issues: Issue[] = []
  const log: string[] = []
  let dropped = 0
  let token: string | null = null
  for (const line of stdout.split('\n')) {
    const command = parseCommand(line)
    if (token !== null) {
      if (command?.name === token) token = null
      else log.push(line)
    } else if (command?.name === 'stop-commands') {
      token = command.data
    } else if (command !== null && ISSUES.includes(command.name)) {
      const { name: level, properties, data } = command
      if (issues.filter((issue) => issue.level === level).length >= 10) dropped += 1
      else issues.push({ level, properties, message: data.slice(0, 4096) })
      assert.ok(data.length <= 4096, 'a message is cut by the runner')
      const { line: from, endLine, col, endColumn } = properties
      assert.ok(endLine === undefined || Number(endLine) >= Number(from))
      const several = endLine !== undefined && endLine !== from
      assert.ok(!several || (col === undefined && endColumn === undefined))
    } else if (command !== null && ['add-mask', 'debug'].includes(command.name)) {
      continue
    } else if (command !== null) {
      assert.fail(`the runner obeys: ${line}`)
    } else {
      log.push(line)
    }
  }
  assert.equal(token, null, 'commands stay stopped')
  return { issues, dropped, log }
}

/** A command file of `name=value` and `name<<EOF` entries. */
function readFileCommand(text: string): Record<string, string> {
  const values: Record<string, string> = {}
  const lines = text.split('\n')
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? ''
    const here = /^([^=]+?)<<(.+)$/.exec(line)
    if (here !== null) {
      const [, name = '', end = ''] = here
      const stop = lines.indexOf(end, index + 1)
      assert.notEqual(stop, -1)
      values[name] = lines.slice(index + 1, stop).join('\n')
      index = stop
    } else if (line !== '') {
      const at = line.indexOf('=')
      assert.ok(at > 0, `not an entry: ${line}`)
      values[line.slice(0, at)] = line.slice(at + 1)
    }
  }
  return values
}

interface Metadata {
  inputs: Record<string, { default?: string }>
  runs: { main: string }
}

export interface Job {
  /** The folder of action.yml. */
  action?: string
  /** The program to start in place of the one that action.yml names. */
  main?: string
  workspace: string
  event: string
  payload: object
  inputs?: Record<string, string>
  env?: Record<string, string>
  sha?: string
  api?: string
}

export function temporaryFolder(): string {
  return fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'explint-action-')))
}

/** Runs one step that uses the action. */
export async function step(job: Job): Promise<Ran> {
  const action = job.action ?? ROOT
  const metadata = parse(fs.readFileSync(path.join(action, 'action.yml'), 'utf8')) as Metadata
  const given = job.inputs ?? {}
  for (const name of Object.keys(given)) assert.ok(name in metadata.inputs, `no input ${name}`)
  const inputs = Object.entries(metadata.inputs).map(([name, { default: value = '' }]) => {
    const text = (given[name] ?? value).replace('${{ github.token }}', 'the-token')
    return [`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`, text] as const
  })
  const temporary = temporaryFolder()
  const file = (name: string, content = '') => {
    const full = path.join(temporary, name)
    fs.writeFileSync(full, content)
    return full
  }
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: temporary,
    GITHUB_ACTIONS: 'true',
    GITHUB_WORKSPACE: job.workspace,
    GITHUB_REPOSITORY: 'lab/experiments',
    GITHUB_SERVER_URL: 'https://github.example',
    GITHUB_API_URL: job.api ?? 'http://127.0.0.1:9',
    GITHUB_EVENT_NAME: job.event,
    GITHUB_EVENT_PATH: file('event.json', JSON.stringify(job.payload)),
    GITHUB_SHA: job.sha ?? '0'.repeat(40),
    GITHUB_OUTPUT: file('output'),
    GITHUB_STEP_SUMMARY: file('summary'),
    GITHUB_ENV: file('env'),
    GITHUB_PATH: file('path'),
    GITHUB_STATE: file('state'),
    RUNNER_TEMP: temporary,
    RUNNER_TOOL_CACHE: path.join(temporary, 'tools'),
    // What a job may hold and the tool must not see.
    PYTHONPATH: '/nonexistent',
    GITHUB_TOKEN: `secret-${crypto.randomUUID()}`,
    ...Object.fromEntries(inputs),
    ...job.env,
  }
  const main = job.main ?? path.resolve(action, metadata.runs.main)
  const child = spawn(process.execPath, [main], { cwd: job.workspace, env })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  assert.equal(stderr, '')
  const summary = fs.readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8')
  assert.ok(Buffer.byteLength(summary) <= 1024 * 1024, 'the runner refuses the summary')
  for (const name of ['env', 'path', 'state']) {
    assert.equal(fs.readFileSync(path.join(temporary, name), 'utf8'), '')
  }
  const outputs = readFileCommand(fs.readFileSync(env.GITHUB_OUTPUT, 'utf8'))
  return { code, ...readLog(stdout), outputs, summary, temporary }
}
