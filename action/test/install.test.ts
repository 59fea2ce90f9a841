/** What is installed, from where, and what a pull request has to say about it: nothing. */

import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { strToU8, zipSync } from 'fflate'
import type { Inputs } from '../src/inputs.ts'
import { choosePin, projectPin } from '../src/install.ts'
import { dispatch, pullRequest } from './events.ts'
import { Git } from './repositories.ts'
import { pkg, report } from './reports.ts'
import { ROOT, step, temporaryFolder, type Job, type Ran } from './runner.ts'

const pin = (files: Record<string, string>) => projectPin(new Map(Object.entries(files)))
const HASH = 'ab'.repeat(32)
const LOCK = `version = 1
[[package]]
name = "explint"
version = "0.3.0"
source = { registry = "x" }
wheels = [{ url = "explint-0.3.0.whl", hash = "sha256:${HASH}", size = 1 }]
`

test('a project pins explint in one of four files, the most exact first', () => {
  assert.deepEqual(
    pin({ 'uv.lock': LOCK, 'pyproject.toml': '[project]\ndependencies = ["explint==0.2.0"]' }),
    {
      version: '0.3.0',
      hashes: [HASH],
      from: 'uv.lock',
    },
  )
  assert.equal(pin({ '.explint-version': '0.4.0\n', 'uv.lock': LOCK })?.version, '0.4.0')
  assert.equal(
    pin({
      'pyproject.toml': '[dependency-groups]\ndev = ["explint[hydra] == 0.2.0 ; os_name"]',
    })?.version,
    '0.2.0',
  )
  const hook =
    'repos:\n- repo: https://e.example/explint\n  rev: v0.5.1\n  hooks: [{id: explint}]\n'
  assert.equal(pin({ '.pre-commit-config.yaml': hook })?.version, '0.5.1')
})

test('what is no pin is not taken for one', () => {
  for (const files of [
    {},
    { 'pyproject.toml': '[project]\ndependencies = ["explint>=0.2", "explint-extra==1.0"]' },
    { 'pyproject.toml': '[project]\ndependencies = [{a = 1}, 3]' },
    { '.explint-version': '--index-url=x' },
    { '.explint-version': '0.1.0 --pre' },
    { 'uv.lock': 'not [ toml' },
    { '.pre-commit-config.yaml': 'repos:\n- {repo: x, rev: main, hooks: [{id: explint}]}\n' },
    { '.pre-commit-config.yaml': 'a: &a [x]\nrepos: [*a, *a]\n' },
  ]) {
    assert.equal(pin(files as Record<string, string>), null)
  }
})

const inputs = (over: Partial<Inputs>) => ({ version: '', sha256: '', ...over }) as Inputs
const RELEASE = { version: '0.1.0', hashes: [HASH] }

test('the release of the action is the default, never the latest', () => {
  assert.deepEqual(choosePin(inputs({}), RELEASE, new Map()).hashes, [HASH])
  assert.throws(() => choosePin(inputs({}), { ...RELEASE, hashes: [] }, new Map()), /no release/)
  assert.throws(() => choosePin(inputs({ version: 'latest' }), RELEASE, new Map()), /`version` is/)
  assert.throws(() => choosePin(inputs({ version: 'project' }), RELEASE, new Map()), /none of/)
  assert.deepEqual(choosePin(inputs({ version: '0.1.0' }), RELEASE, new Map()).hashes, [HASH])
  assert.deepEqual(
    choosePin(inputs({ version: '0.0.9', sha256: 'c' }), RELEASE, new Map()).hashes,
    ['c'],
  )
})

/** A wheel with a program that writes an empty report, in a folder of its own. */
function wheel(folder = temporaryFolder()): { file: string; sum: string } {
  const name = 'explint-0.1.0'
  const made = JSON.stringify(report([pkg()]))
  const files = {
    'explint/__init__.py': '',
    'explint/cli.py': `import sys\n\ndef main():\n    file = next(a for a in sys.argv if a.startswith("--output=json:"))[14:]\n    open(file, "w").write(${JSON.stringify(made)})\n    return 0\n`,
    [`${name}.dist-info/METADATA`]: 'Metadata-Version: 2.1\nName: explint\nVersion: 0.1.0\n',
    [`${name}.dist-info/WHEEL`]:
      'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
  }
  const record = [...Object.keys(files), `${name}.dist-info/RECORD`]
    .map((each) => `${each},,\n`)
    .join('')
  const all = { ...files, [`${name}.dist-info/RECORD`]: record }
  const zip = zipSync(
    Object.fromEntries(Object.entries(all).map(([each, text]) => [each, strToU8(text)])),
  )
  const file = path.join(folder, `${name}-py3-none-any.whl`)
  fs.writeFileSync(file, zip)
  return { file, sum: crypto.createHash('sha256').update(zip).digest('hex') }
}

/** The built action beside no other requirements, so that nothing is fetched. */
function bareAction(): string {
  const folder = temporaryFolder()
  fs.cpSync(path.join(ROOT, 'action', 'dist'), path.join(folder, 'dist'), { recursive: true })
  fs.copyFileSync(path.join(ROOT, 'action', 'release.json'), path.join(folder, 'release.json'))
  fs.writeFileSync(path.join(folder, 'package.json'), '{"type": "module"}')
  fs.writeFileSync(path.join(folder, 'requirements.txt'), '')
  return path.join(folder, 'dist', 'index.js')
}

function run(given: Record<string, string>, job: Partial<Job> = {}): Promise<Ran> {
  return step({
    main: bareAction(),
    workspace: temporaryFolder(),
    event: 'workflow_dispatch',
    payload: dispatch(),
    ...job,
    inputs: given,
    env: { PIP_NO_INDEX: '1', ...job.env },
  })
}

/** A Python that counts how often pip is asked to install. */
function countingPython(): { file: string; installs(): number } {
  const folder = temporaryFolder()
  const real = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], {
    encoding: 'utf8',
  })
  const file = path.join(folder, 'python3')
  const log = path.join(folder, 'log')
  fs.writeFileSync(
    file,
    `#!/bin/sh\ncase "$*" in *" pip install"*) echo x >> ${log};; esac\nexec ${real.trim()} "$@"\n`,
  )
  fs.chmodSync(file, 0o755)
  const installs = () => (fs.existsSync(log) ? fs.readFileSync(log, 'utf8').length / 2 : 0)
  return { file, installs }
}

test('a wheel is installed without a network, by its hash, once', async () => {
  const { file, sum } = wheel()
  const python = countingPython()
  const env = { RUNNER_TOOL_CACHE: temporaryFolder() }
  for (const given of [{ wheel: path.dirname(file) }, { wheel: path.dirname(file), sha256: sum }]) {
    const ran = await run({ ...given, python: python.file }, { env })
    assert.deepEqual(ran.issues, [])
    assert.equal(ran.code, 0)
  }
  assert.equal(python.installs(), 1)
})

test('a wheel with another sum is refused', async () => {
  const ran = await run({ wheel: wheel().file, sha256: HASH })
  assert.match(ran.issues[0]?.message ?? '', /has the SHA-256 sum/)
})

test('a wheel in the workspace of a pull request needs its sum', async () => {
  const git = Git.init()
  const { file, sum } = wheel(git.folder)
  const commit = git.commit()
  const job = {
    workspace: git.folder,
    event: 'pull_request',
    payload: pullRequest({ base: commit, head: commit }),
  }
  const refused = await run({ wheel: path.basename(file) }, job)
  assert.match(refused.issues[0]?.message ?? '', /could replace it.*sha256/)
  const taken = await run({ wheel: path.basename(file), sha256: sum }, job)
  assert.equal(taken.code, 0)
})

test('what a pull request pins is not what runs', async () => {
  const git = Git.init()
  git.write('.explint-version', '0.7.0\n')
  const base = git.commit()
  git.write('.explint-version', '6.6.6\n')
  const head = git.commit()
  const payload = pullRequest({ base, head })
  const ran = await run(
    { version: 'project' },
    { workspace: git.folder, event: 'pull_request', payload },
  )
  assert.match(ran.issues.at(-1)?.message ?? '', /explint 0\.7\.0 could not be installed/)
  const pushed = await run({ version: 'project' }, { workspace: git.folder })
  assert.match(pushed.issues.at(-1)?.message ?? '', /explint 6\.6\.6 could not be installed/)
})

test('a Python that is missing or in the workspace is refused', async () => {
  const { file } = wheel()
  const ran = await run({ wheel: file, python: 'python-that-is-not-there' })
  assert.match(ran.issues[0]?.message ?? '', /no Python outside the workspace/)
})
