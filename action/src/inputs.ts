/** The inputs of the action, checked: what is wrong is said before anything runs. */

import fs from 'node:fs'
import path from 'node:path'
import * as core from '@actions/core'

/** An input that cannot be used. The message is a whole sentence. */
export class InputProblem extends Error {
  override name = 'InputProblem'
}

const FAIL_ON = ['new-error', 'new-warning', 'error', 'warning', 'info', 'never'] as const
export type FailOn = (typeof FAIL_ON)[number]

export interface Inputs {
  mode: 'check' | 'merge'
  roots: string[]
  branches: string
  reports: string
  failOn: FailOn
  against: string
  version: string
  sha256: string
  wheel: string
  explintPath: string
  python: string
  checkOptions: string[]
  review: boolean
  comment: boolean
  reportFile: string
  sarifFile: string
  timeoutMs: number
  trial: boolean
  trialOptions: string[]
  trialTimeoutMs: number
  token: string
}

/** Reads the inputs. Throws InputProblem. */
export function readInputs(workspace: string): Inputs {
  const checkOptions = (['select', 'ignore', 'profile', 'baseline', 'config'] as const).flatMap(
    (name) => {
      const value = core.getInput(name)
      return value === '' ? [] : [`--${name}=${value}`]
    },
  )
  const trial = choice('trial', ['false', 'true']) === 'true'
  if (trial && (core.getInput('mode') === 'merge' || core.getInput('branches') !== '')) {
    throw new InputProblem(
      '`trial` runs the files checked out, so it excludes `mode: merge` and `branches`.',
    )
  }
  const sha256 = core.getInput('sha256').toLowerCase()
  if (!/^(?:[0-9a-f]{64})?$/.test(sha256)) {
    throw new InputProblem('`sha256` must be 64 hexadecimal digits.')
  }
  const roots = core.getMultilineInput('roots').filter((root) => root !== '')
  return {
    mode: choice('mode', ['check', 'merge']),
    roots: (roots.length > 0 ? roots : ['.']).map((root) => inside(workspace, root, 'roots')),
    branches: core.getInput('branches'),
    reports: core.getInput('reports'),
    failOn: choice('fail-on', FAIL_ON),
    against: core.getInput('against') || 'auto',
    version: core.getInput('version'),
    sha256,
    wheel: core.getInput('wheel'),
    explintPath: core.getInput('explint-path'),
    python: core.getInput('python') || 'python3',
    checkOptions,
    review: choice('review', ['none', 'suggestions']) === 'suggestions',
    comment: choice('comment', ['none', 'changes']) === 'changes',
    reportFile: core.getInput('report-file'),
    sarifFile: core.getInput('sarif-file'),
    timeoutMs: minutes('timeout-minutes', 10, 360),
    trial,
    trialOptions: core.getMultilineInput('trial-options').filter((option) => option !== ''),
    trialTimeoutMs: minutes('trial-timeout-minutes', 60, 7200),
    token: core.getInput('token'),
  }
}

/** A number of minutes, in milliseconds. */
function minutes(name: string, usual: number, most: number): number {
  const given = Number(core.getInput(name) || usual)
  if (!(given > 0 && given <= most)) {
    throw new InputProblem(`\`${name}\` must be a number of minutes between 0 and ${most}.`)
  }
  return given * 60_000
}

function choice<const T extends readonly [string, ...string[]]>(
  name: string,
  values: T,
): T[number] {
  const value = core.getInput(name) || values[0]
  if (!values.includes(value)) {
    throw new InputProblem(`\`${name}\` is one of ${values.join(', ')}, not \`${value}\`.`)
  }
  return value as T[number]
}

/**
 * A path relative to the workspace, that exists and lies in it when every link is followed.
 *
 * @throws InputProblem
 */
export function inside(workspace: string, given: string, input: string): string {
  const full = path.resolve(workspace, given)
  let real: string
  try {
    real = fs.realpathSync(full)
  } catch {
    throw new InputProblem(
      `\`${input}\` names \`${given}\`, which does not exist in the workspace.`,
    )
  }
  if (!isWithin(fs.realpathSync(workspace), real)) {
    throw new InputProblem(`\`${input}\` names \`${given}\`, which lies outside the workspace.`)
  }
  return path.relative(workspace, full).replaceAll(path.sep, '/') || '.'
}

/** Whether a real path lies in a real folder. */
export function isWithin(folder: string, file: string): boolean {
  const relative = path.relative(folder, file)
  return (
    relative === '' ||
    (!relative.startsWith(`..${path.sep}`) && relative !== '..' && !path.isAbsolute(relative))
  )
}

/**
 * Where a report may be written: in the workspace or the runner's temporary folder, by no link.
 *
 * @throws InputProblem
 */
export function outputPath(
  workspace: string,
  temporary: string,
  given: string,
  input: string,
): string {
  const full = path.resolve(workspace, given)
  let folder: string
  try {
    fs.mkdirSync(path.dirname(full), { recursive: true })
    folder = fs.realpathSync(path.dirname(full))
  } catch (error) {
    throw new InputProblem(`\`${input}\` cannot be written: ${(error as Error).message}.`)
  }
  const places = [workspace, temporary].map((place) => fs.realpathSync(place))
  const link = fs.lstatSync(full, { throwIfNoEntry: false })?.isSymbolicLink() ?? false
  if (link || !places.some((place) => isWithin(place, folder))) {
    throw new InputProblem(
      `\`${input}\` names \`${given}\`, which is a link or lies outside the workspace.`,
    )
  }
  return path.join(folder, path.basename(full))
}
