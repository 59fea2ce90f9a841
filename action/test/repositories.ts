/** Real git repositories, and a program that stands in for explint where a scenario needs one. */

import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import type { Report } from '../src/report.ts'
import { temporaryFolder } from './runner.ts'

export class Git {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  static init(): Git {
    const made = new Git(temporaryFolder())
    made.run('init', '--quiet', '--initial-branch=main')
    made.run('config', 'uploadpack.allowAnySHA1InWant', 'true')
    return made
  }

  run(...args: string[]): string {
    const who = [
      '-c',
      'user.name=a',
      '-c',
      'user.email=a@example.org',
      '-c',
      'commit.gpgSign=false',
    ]
    const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null' }
    const output = execFileSync('git', [...who, ...args], {
      ...{ cwd: this.folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
    })
    return output.trim()
  }

  write(name: string, content: string | Buffer): void {
    const file = path.join(this.folder, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
  }

  commit(message = 'change'): string {
    this.run('add', '--all')
    this.run('commit', '--quiet', '--allow-empty', '--message', message)
    return this.run('rev-parse', 'HEAD')
  }

  /** A clone as actions/checkout makes one: one commit, detached. */
  checkout(commit: string, depth = 1): Git {
    const clone = new Git(temporaryFolder())
    clone.run('init', '--quiet')
    clone.run('remote', 'add', 'origin', `file://${this.folder}`)
    const how = depth === 0 ? [] : [`--depth=${depth}`]
    clone.run('fetch', '--quiet', '--no-tags', ...how, 'origin', commit)
    clone.run('checkout', '--quiet', '--detach', commit)
    return clone
  }
}

/** What the stand-in is to do. */
export interface Script {
  report?: Report | string
  code?: number
  stdout?: string
  stderr?: string
  /** Milliseconds to sleep first. */
  sleep?: number
  /** JavaScript to run in place of writing `report`, with `fs` and `args` at hand. */
  body?: string
}

export interface FakeExplint {
  path: string
  /** The arguments, folder and environment of each call. */
  calls(): { args: string[]; cwd: string; env: Record<string, string> }[]
}

/** A program that writes a report where it is told to, as explint would. */
export function fakeExplint(script: Script): FakeExplint {
  const folder = temporaryFolder()
  const program = path.join(folder, 'explint')
  const log = path.join(folder, 'calls')
  const report = typeof script.report === 'object' ? JSON.stringify(script.report) : script.report
  const { body = '', ...rest } = script
  const plan = JSON.stringify({ ...rest, report, log })
  fs.writeFileSync(
    program,
    `#!${process.execPath}
const fs = require('node:fs')
const plan = ${plan.replaceAll('\u2028', '\\u2028')}
const args = process.argv.slice(2)
fs.appendFileSync(plan.log, JSON.stringify({ args, cwd: process.cwd(), env: process.env }) + '\\n')
setTimeout(() => {
  const file = args.find((a) => a.startsWith('--output=json:'))?.slice(14)
  ${body}
  if (plan.report !== undefined) fs.writeFileSync(file, plan.report)
  fs.writeSync(1, plan.stdout ?? '')
  fs.writeSync(2, plan.stderr ?? '')
  process.exitCode = plan.code ?? 0
}, plan.sleep ?? 0)
`,
    { mode: 0o755 },
  )
  const calls = () =>
    fs.existsSync(log)
      ? fs
          .readFileSync(log, 'utf8')
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
      : []
  return { path: program, calls }
}
