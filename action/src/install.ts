/** Brings explint onto the runner: a pinned version, by hash where one is known, from the cache. */

import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import * as core from '@actions/core'
import * as io from '@actions/io'
import * as tc from '@actions/tool-cache'
import { parse as parseToml } from 'smol-toml'
import { parse as parseYaml } from 'yaml'
import { logLine } from './escape.ts'
import { InputProblem, isWithin, type Inputs } from './inputs.ts'
import { environment, run } from './process.ts'

/** A command that runs explint. */
export interface Explint {
  program: string
  args: string[]
}

/** What a release of the action carries: `release.json` beside the bundle. */
export interface Release {
  version: string
  /** The SHA-256 sums of the wheels of that version; empty on a commit that is no release. */
  hashes: string[]
}

/** A version to install, with the hashes it must have where they are known. */
export interface Pin {
  version: string
  hashes: string[]
  from: string
}

export interface Places {
  workspace: string
  temporary: string
  /** The folder that holds `release.json` and `requirements.txt`. */
  action: string
  /** Whether the files in the workspace are those of a pull request. */
  foreign: boolean
}

const VERSION = /^\d+(?:\.\d+)*(?:(?:a|b|rc)\d+)?(?:\.post\d+)?$/

/** What a project pins explint to, from the texts of its files; null where nothing does. */
export function projectPin(files: ReadonlyMap<string, string>): Pin | null {
  for (const [name, read] of READERS) {
    const text = files.get(name)
    if (text === undefined) continue
    let found: Omit<Pin, 'from'> | null
    try {
      found = read(text)
    } catch {
      continue
    }
    if (found !== null && VERSION.test(found.version)) return { ...found, from: name }
  }
  return null
}

/** The files of a project that may pin explint, in the order in which they are asked. */
export const PINNING_FILES = [
  '.explint-version',
  'uv.lock',
  'pyproject.toml',
  '.pre-commit-config.yaml',
]

const READERS: [string, (text: string) => Omit<Pin, 'from'> | null][] = [
  ['.explint-version', (text) => ({ version: text.trim(), hashes: [] })],
  ['uv.lock', fromUvLock],
  ['pyproject.toml', fromPyproject],
  ['.pre-commit-config.yaml', fromPreCommit],
]

interface UvLock {
  package?: { name?: string; version?: string; wheels?: { hash?: string }[] }[]
}

function fromUvLock(text: string): Omit<Pin, 'from'> | null {
  const lock = parseToml(text) as UvLock
  const entry = lock.package?.find((each) => each.name === 'explint')
  if (entry?.version === undefined) return null
  const hashes = (entry.wheels ?? []).flatMap(
    ({ hash = '' }) => /^sha256:([0-9a-f]{64})$/.exec(hash)?.[1] ?? [],
  )
  return { version: entry.version, hashes }
}

function fromPyproject(text: string): Omit<Pin, 'from'> | null {
  const data = parseToml(text) as {
    project?: { dependencies?: unknown[]; 'optional-dependencies'?: Record<string, unknown[]> }
    'dependency-groups'?: Record<string, unknown[]>
  }
  const lists = [
    data.project?.dependencies,
    ...Object.values(data.project?.['optional-dependencies'] ?? {}),
    ...Object.values(data['dependency-groups'] ?? {}),
  ]
  for (const requirement of lists.flatMap((list) => (Array.isArray(list) ? list : []))) {
    if (typeof requirement !== 'string') continue
    const [, version] =
      /^explint(?:\[[\w, -]*\])?\s*===?\s*([\w.]+)\s*(?:;.*)?$/.exec(requirement) ?? []
    if (version !== undefined) return { version, hashes: [] }
  }
  return null
}

function fromPreCommit(text: string): Omit<Pin, 'from'> | null {
  const data = parseYaml(text, { maxAliasCount: 0 }) as {
    repos?: { repo?: unknown; rev?: unknown; hooks?: { id?: unknown }[] }[]
  } | null
  const entry = data?.repos?.find((repo) => repo.hooks?.some((hook) => hook.id === 'explint'))
  if (typeof entry?.rev !== 'string') return null
  return { version: entry.rev.replace(/^v/, ''), hashes: [] }
}

/**
 * The version to install.
 *
 * @param files what the project's files say, from the base of a pull request: nothing in a pull
 *   request chooses what runs.
 * @throws InputProblem where no version is pinned; the latest is never taken in its place.
 */
export function choosePin(
  inputs: Inputs,
  release: Release,
  files: ReadonlyMap<string, string>,
): Pin {
  const given = inputs.sha256 === '' ? [] : [inputs.sha256]
  if (inputs.version === 'project') {
    const pin = projectPin(files)
    if (pin === null) {
      throw new InputProblem(
        `\`version: project\` was asked for, and none of ${PINNING_FILES.join(', ')} pins explint ` +
          'to one version.',
      )
    }
    return given.length > 0 ? { ...pin, hashes: given } : pin
  }
  if (inputs.version !== '' && inputs.version !== release.version) {
    if (!VERSION.test(inputs.version)) {
      throw new InputProblem(`\`version\` is \`project\` or a version such as ${release.version}.`)
    }
    return { version: inputs.version, hashes: given, from: 'the input `version`' }
  }
  const hashes = given.length > 0 ? given : release.hashes
  if (hashes.length === 0) {
    throw new InputProblem(
      `This commit of the action is no release of explint, so it knows no wheel of ` +
        `${release.version}. Pin the action to the commit of a release, or give \`wheel\` or ` +
        '`explint-path`.',
    )
  }
  return { version: release.version, hashes, from: 'this release of the action' }
}

/**
 * A command that runs explint, installed if need be.
 *
 * @param files as for {@link choosePin}.
 * @param note takes a sentence that the job summary is to hold.
 * @throws InputProblem
 */
export async function install(
  inputs: Inputs,
  places: Places,
  files: () => Promise<ReadonlyMap<string, string>>,
  note: (sentence: string) => void,
): Promise<Explint> {
  if (inputs.explintPath !== '') {
    const program = trusted(inputs.explintPath, 'explint-path', places)
    return { program, args: [] }
  }
  const locked = fs.readFileSync(path.join(places.action, 'requirements.txt'), 'utf8')
  if (inputs.wheel !== '') {
    const { wheel, folder } = chosenWheel(inputs, places)
    const sum = crypto.createHash('sha256').update(fs.readFileSync(wheel)).digest('hex')
    if (inputs.sha256 !== '' && inputs.sha256 !== sum) {
      throw new InputProblem(`\`wheel\` has the SHA-256 sum ${sum}, not the one in \`sha256\`.`)
    }
    const version = path.basename(wheel).split('-')[1] ?? ''
    const requirements = `${locked}explint==${version} --hash=sha256:${sum}\n`
    const find = ['--find-links', path.dirname(wheel)]
    return installed(inputs, places, version, requirements, folder ? ['--no-index', ...find] : find)
  }
  const release = JSON.parse(
    fs.readFileSync(path.join(places.action, 'release.json'), 'utf8'),
  ) as Release
  const pin = choosePin(inputs, release, inputs.version === 'project' ? await files() : new Map())
  core.info(logLine(`explint ${pin.version}, as ${pin.from} says`))
  if (pin.hashes.length === 0) {
    note(
      `explint ${pin.version} is installed without a check of its hash: ${pin.from} holds none. ` +
        'Give `sha256`, or pin it in uv.lock.',
    )
    return installed(inputs, places, pin.version, `explint==${pin.version}\n`, [])
  }
  const hashes = pin.hashes.map((hash) => ` --hash=sha256:${hash}`).join('')
  return installed(inputs, places, pin.version, `${locked}explint==${pin.version}${hashes}\n`, [])
}

/** A program or wheel named by the workflow, which a pull request must not be able to replace. */
function trusted(given: string, input: string, { workspace, foreign }: Places): string {
  const full = path.resolve(workspace, given)
  if (!fs.existsSync(full))
    throw new InputProblem(`\`${input}\` names \`${given}\`, which does not exist.`)
  const real = fs.realpathSync(full)
  if (foreign && (isWithin(fs.realpathSync(workspace), real) || isWithin(workspace, full))) {
    throw new InputProblem(
      `\`${input}\` lies in the workspace, where the pull request could replace it. Put it elsewhere` +
        (input === 'wheel' ? ', or give its `sha256`.' : '.'),
    )
  }
  return full
}

function chosenWheel(inputs: Inputs, places: Places): { wheel: string; folder: boolean } {
  // A sum that the workflow gives makes any place safe.
  const foreign = places.foreign && inputs.sha256 === ''
  const full = trusted(inputs.wheel, 'wheel', { ...places, foreign })
  const folder = fs.statSync(full).isDirectory()
  const wheels = folder
    ? fs
        .readdirSync(full)
        .filter((name) => /^explint-[^/]*\.whl$/.test(name))
        .sort()
    : [path.basename(full)]
  const [wheel, second] = wheels
  if (wheel === undefined || second !== undefined || !/^explint-[^-]+-.*\.whl$/.test(wheel)) {
    throw new InputProblem(
      '`wheel` must be a wheel of explint, or a folder with exactly one of them.',
    )
  }
  return { wheel: folder ? path.join(full, wheel) : full, folder }
}

async function installed(
  inputs: Inputs,
  places: Places,
  version: string,
  requirements: string,
  options: readonly string[],
): Promise<Explint> {
  const python = await io.which(inputs.python, false)
  if (python === '' || (places.foreign && isWithin(places.workspace, python))) {
    throw new InputProblem(
      `\`${inputs.python}\` is no Python outside the workspace; use actions/setup-python or give \`python\`.`,
    )
  }
  const cwd = places.temporary
  const asked = await run(
    python,
    [
      '-I',
      '-c',
      'import sys; print(*sys.version_info[:2], sep="."); sys.exit(sys.version_info < (3, 11))',
    ],
    { cwd },
  )
  if (asked.code !== 0) {
    throw new InputProblem(
      `explint needs Python 3.11 or newer, and \`${inputs.python}\` is ${asked.stdout.trim() || 'broken'}.`,
    )
  }
  const sum = crypto.createHash('sha256').update(requirements).digest('hex')
  const key = `${/^\d+\.\d+\.\d+$/.test(version) ? version : '0.0.0'}-h${sum.slice(0, 24)}`
  const platform = `${process.arch}-cp${asked.stdout.trim()}`
  const cached = process.env['RUNNER_TOOL_CACHE'] ? tc.find('explint', key, platform) : ''
  if (cached !== '') return command(cached)

  const target = fs.mkdtempSync(path.join(places.temporary, 'explint-'))
  const file = path.join(places.temporary, `explint-${sum.slice(0, 24)}.txt`)
  fs.writeFileSync(file, requirements)
  // The packages go into a folder: unlike a virtual environment, it may be moved to the cache.
  const pip = ['-I', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input']
  const how = requirements.includes('--hash=') ? ['--require-hashes'] : []
  const result = await run(
    python,
    [
      ...pip,
      '--only-binary',
      ':all:',
      ...how,
      ...options,
      '--target',
      target,
      '--requirement',
      file,
    ],
    { cwd, env: pipEnvironment(), timeoutMs: inputs.timeoutMs },
  )
  if (result.code !== 0) {
    const said = result.problem || result.stderr.trim().split('\n').slice(-3).join(' ')
    throw new InputProblem(`explint ${version} could not be installed: ${said}`)
  }
  fs.writeFileSync(path.join(target, 'start.py'), START)
  fs.writeFileSync(path.join(target, 'python'), python)
  const kept = process.env['RUNNER_TOOL_CACHE']
    ? await tc.cacheDir(target, 'explint', key, platform)
    : target
  return command(kept)
}

// Isolated mode takes neither PYTHONPATH nor the current folder; the packages are added by hand.
const START = `import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from explint.cli import main

sys.exit(main())
`

function command(folder: string): Explint {
  const python = fs.readFileSync(path.join(folder, 'python'), 'utf8')
  return { program: python, args: ['-I', path.join(folder, 'start.py')] }
}

function pipEnvironment(): Record<string, string> {
  const own = Object.entries(process.env).filter(([name]) => name.startsWith('PIP_'))
  return environment(Object.fromEntries(own.map(([name, value]) => [name, value ?? ''])))
}
