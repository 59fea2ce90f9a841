/** The built action under the stand-in for the runner, on real repositories. */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { before, test } from 'node:test'
import { dispatch, mergeGroup, pullRequest, push, schedule } from './events.ts'
import { fakeExplint, Git, type FakeExplint, type Script } from './repositories.ts'
import { finding, pkg, report } from './reports.ts'
import { step, temporaryFolder, type Job, type Ran } from './runner.ts'
import type { Finding } from '../src/report.ts'

let origin: Git
let start: string
let main: string
let head: string
let merge: string

/** A base branch that went on, a topic of one change, and GitHub's merge of the two. */
before(() => {
  origin = Git.init()
  origin.write('src/train.py', 'a = 1\nb = 2\nc = 3\n')
  origin.write('old name.py', 'x = 1\n'.repeat(9))
  start = origin.commit('start')
  origin.run('checkout', '--quiet', '-b', 'topic')
  origin.write('src/train.py', 'a = 1\nb = 22\nc = 3\nd = 4\n')
  origin.run('mv', 'old name.py', 'new %,: "näme".py')
  origin.write('crlf.py', 'a = 1\r\nb = 2\r\n')
  origin.write('data.bin', Buffer.of(0, 1, 2))
  head = origin.commit('topic')
  origin.run('checkout', '--quiet', 'main')
  origin.write('other.py', 'z = 1\n')
  main = origin.commit('main goes on')
  origin.run('checkout', '--quiet', '--detach', 'main')
  origin.run('merge', '--quiet', '--no-ff', '--message', 'merge', head)
  merge = origin.run('rev-parse', 'HEAD')
  origin.run('update-ref', 'refs/pull/7/merge', merge)
  origin.run('checkout', '--quiet', 'main')
})

const fake = (findings: Finding[], more: Partial<Script> = {}): FakeExplint =>
  fakeExplint({ report: report([pkg({ findings })]), code: findings.length > 0 ? 1 : 0, ...more })

interface Scenario extends Partial<Job> {
  explint: FakeExplint
  commit?: string
  depth?: number
}

function run({ explint, commit = merge, depth = 1, inputs, ...job }: Scenario): Promise<Ran> {
  return step({
    workspace: job.workspace ?? origin.checkout(commit, depth).folder,
    event: 'pull_request',
    payload: pullRequest({ base: start, head }),
    sha: commit,
    ...job,
    inputs: { 'explint-path': explint.path, ...inputs },
  })
}

const against = (explint: FakeExplint) =>
  explint
    .calls()[0]
    ?.args.find((a) => a.startsWith('--against='))
    ?.slice(10)

test('a clean pull request passes and says so', async () => {
  const ran = await run({ explint: fake([]) })
  assert.equal(ran.code, 0)
  assert.deepEqual(ran.issues, [])
  assert.match(ran.summary, /^## ✓ explint: 0 errors/)
  assert.equal(ran.outputs['passed'], 'true')
  assert.equal(ran.outputs['ready'], 'true')
  assert.ok(fs.existsSync(ran.outputs['report'] ?? ''))
})

test('the base of a merge is its first parent, fetched into a clone of depth one', async () => {
  const explint = fake([])
  await run({ explint })
  assert.equal(against(explint), main)
})

test('where the head is checked out, the clone is deepened to where the histories part', async () => {
  const explint = fake([])
  const ran = await run({ explint, commit: head, payload: pullRequest({ base: main, head }) })
  assert.equal(against(explint), start)
  assert.equal(ran.outputs['base'], start)
})

test('new findings on changed lines are annotated at their place, others told of', async () => {
  const explint = fake([
    finding({ line: 2, end_line: 2, column: 1, end_column: 2, change: 'new' }),
    finding({ line: 1, change: 'new', severity: 'warning' }),
    finding({ path: 'new %,: "näme".py', line: 1, change: 'unchanged', severity: 'warning' }),
    finding({ path: 'crlf.py', line: 2, change: 'new', severity: 'info' }),
  ])
  const ran = await run({ explint })
  assert.equal(ran.code, 1)
  assert.deepEqual(
    ran.issues.map(({ level, properties: { file, line, title } }) => [level, file, line, title]),
    [
      ['error', 'src/train.py', '2', 'complete/todo-marker (CMP002)'],
      ['warning', undefined, undefined, 'explint: 2 more warnings'],
      ['notice', 'crlf.py', '2', 'complete/todo-marker (CMP002)'],
    ],
  )
  assert.deepEqual(
    [ran.outputs['errors'], ran.outputs['warnings'], ran.outputs['new']],
    ['1', '2', '3'],
  )
})

test('a renamed file with a hostile name is annotated under that name', async () => {
  origin.run('checkout', '--quiet', 'topic')
  const name = 'new %,: "näme".py'
  origin.write(name, `${'x = 1\n'.repeat(4)}y = 2\n${'x = 1\n'.repeat(4)}`)
  const commit = origin.commit('rename and change')
  origin.run('checkout', '--quiet', 'main')
  const ran = await run({
    ...{ explint: fake([finding({ path: name, line: 5 })]), commit },
    payload: pullRequest({ base: main, head: commit }),
  })
  assert.equal(ran.issues[0]?.properties['file'], name)
})

test('a name with a line end stands in annotation and summary without ending either', async () => {
  const name = 'src/two\n::error::lines % , :.py'
  origin.run('checkout', '--quiet', '--detach', head)
  origin.write(name, 'y = 1\n')
  const commit = origin.commit('a hostile name')
  origin.run('checkout', '--quiet', 'main')
  const made = pkg({
    findings: [finding({ path: name, line: 1, end_line: 1, change: 'new' })],
    coverage: { scanned: 1, skipped: [{ path: name, reason: 'a\n::error::b' }], failed: [] },
  })
  const ran = await run({
    ...{ explint: fakeExplint({ report: report([made]), code: 1 }), commit },
    payload: pullRequest({ base: main, head: commit }),
  })
  assert.deepEqual(
    ran.issues.map(({ properties: { file, line } }) => [file, line]),
    [[name, '1']],
  )
  assert.doesNotMatch(ran.summary, /^::error/m)
})

test('a binary or a deleted file has no changed line, and its findings are told of', async () => {
  origin.run('checkout', '--quiet', '--detach', head)
  origin.run('rm', '--quiet', 'src/train.py')
  origin.write('data.bin', Buffer.of(0, 255, 3))
  const commit = origin.commit('a module deleted, data changed')
  origin.run('checkout', '--quiet', 'main')
  const ran = await run({
    commit,
    payload: pullRequest({ base: head, head: commit }),
    explint: fake([
      finding({ path: 'src/train.py', line: 1, end_line: 1, change: 'new' }),
      finding({ path: 'data.bin', line: 1, end_line: 1, change: 'new', severity: 'warning' }),
    ]),
  })
  assert.deepEqual(
    ran.issues.map(({ level, properties: { file, title } }) => [level, file, title]),
    [
      ['error', undefined, 'explint: 1 more error'],
      ['warning', undefined, 'explint: 1 more warning'],
    ],
  )
  assert.match(ran.issues[0]?.message ?? '', /src\/train\.py:1/)
  assert.match(ran.summary, /data\.bin/)
})

test('numbers of findings: none is dropped without a word', async () => {
  for (const number of [10, 11, 51, 5000]) {
    const findings = Array.from({ length: number }, (_, n) => finding({ line: n + 1 }))
    const ran = await run({ explint: fake(findings), event: 'schedule', payload: schedule() })
    assert.equal(ran.dropped, 0)
    assert.equal(ran.issues.length, 10)
    assert.equal(
      ran.issues[9]?.properties['title'],
      `explint: ${number - 9} more error${number > 10 ? 's' : ''}`,
    )
    assert.equal(ran.outputs['errors'], String(number))
  }
})

test('events: what each is compared with', async () => {
  const scenarios: [string, object, string | undefined][] = [
    ['pull_request', pullRequest({ base: start, head, fork: true, sender: 'eve' }), main],
    ['pull_request', pullRequest({ base: start, head, sender: 'dependabot[bot]' }), main],
    ['pull_request_target', pullRequest({ base: start, head, fork: true }), main],
    ['merge_group', mergeGroup(main, merge), main],
    ['push', push(start, merge), start],
    ['push', push('0'.repeat(40), merge), undefined],
    ['workflow_dispatch', dispatch(), undefined],
    ['schedule', schedule(), undefined],
  ]
  for (const [event, payload, base] of scenarios) {
    const explint = fake([])
    const ran = await run({ explint, event, payload })
    assert.equal(against(explint), base, event)
    assert.equal(ran.code, 0)
  }
})

test('a new branch says that there is nothing to compare with', async () => {
  const ran = await run({
    explint: fake([]),
    event: 'push',
    payload: push('0'.repeat(40), merge),
  })
  assert.match(ran.summary, /Nothing to compare with.*the branch is new/)
})

test('a base that cannot be had is said, and new findings are all findings', async () => {
  const explint = fake([finding()])
  const gone = 'f'.repeat(40)
  const ran = await run({ explint, event: 'push', payload: push(gone, merge) })
  assert.match(ran.summary, new RegExp(`no commit ${gone}`))
  assert.ok(explint.calls()[0]?.args.includes('--fail-on=error'))
  assert.equal(ran.code, 1)
})

test('against: a revision, and none', async () => {
  const explint = fake([])
  await run({ explint, depth: 0, inputs: { against: 'HEAD~1' } })
  assert.equal(against(explint), main)
  const other = fake([])
  await run({ explint: other, inputs: { against: 'none' } })
  assert.equal(against(other), undefined)
  // What looks like an option is none.
  const third = fake([])
  const ran = await run({ explint: third, inputs: { against: '--output=/tmp/x' } })
  assert.equal(against(third), undefined)
  assert.match(ran.summary, /no commit/)
})

test('the tool sees arguments after -- and no secrets', async () => {
  const explint = fake([])
  const workspace = origin.checkout(merge).folder
  const root = '-o json:x'
  fs.mkdirSync(path.join(workspace, root))
  await run({
    explint,
    workspace,
    inputs: { roots: `src\n${root}\n`, select: '--help', 'fail-on': 'warning' },
  })
  const [call] = explint.calls()
  assert.deepEqual(call?.args.slice(-3), ['--', 'src', root])
  assert.ok(call?.args.includes('--select=--help'))
  assert.ok(call?.args.includes('--fail-on=warning'))
  assert.equal(call?.cwd, workspace)
  const names = Object.keys(call?.env ?? {})
  assert.deepEqual(
    names.filter((n) => /TOKEN|INPUT_|PYTHON|GITHUB_|ACTIONS/.test(n)),
    [],
  )
})

test('roots outside the workspace and links out of it are refused', async () => {
  const workspace = origin.checkout(merge).folder
  fs.symlinkSync('/', path.join(workspace, 'link'))
  for (const root of ['..', '/', 'link', 'link/etc', 'missing']) {
    const explint = fake([])
    const ran = await run({ explint, workspace, inputs: { roots: root } })
    assert.equal(ran.code, 1)
    assert.match(ran.issues[0]?.message ?? '', /outside the workspace|does not exist/)
    assert.deepEqual(explint.calls(), [])
  }
})

test('reports go into the workspace only, and through no link', async () => {
  const workspace = origin.checkout(merge).folder
  const victim = path.join(temporaryFolder(), 'victim')
  fs.writeFileSync(victim, 'mine')
  fs.symlinkSync(victim, path.join(workspace, 'report.json'))
  for (const file of ['report.json', '../report.json', victim]) {
    const ran = await run({ explint: fake([]), workspace, inputs: { 'report-file': file } })
    assert.equal(ran.code, 1)
    assert.match(ran.issues[0]?.message ?? '', /`report-file`/)
  }
  assert.equal(fs.readFileSync(victim, 'utf8'), 'mine')
  const ran = await run({
    explint: fake([]),
    workspace,
    inputs: { 'report-file': 'out/report.json' },
  })
  assert.equal(ran.outputs['report'], path.join(workspace, 'out', 'report.json'))
})

test('a program in the workspace is no tool for a pull request', async () => {
  const workspace = origin.checkout(merge).folder
  fs.copyFileSync(fake([]).path, path.join(workspace, 'explint'))
  const inputs = { 'explint-path': 'explint' }
  const ran = await run({ explint: fake([]), workspace, inputs })
  assert.match(ran.issues[0]?.message ?? '', /the pull request could replace it/)
  const pushed = await run({
    explint: fake([]),
    workspace,
    inputs,
    event: 'schedule',
    payload: schedule(),
  })
  assert.equal(pushed.code, 0)
})

test('what the tool prints is no command', async () => {
  const stderr = '::error::forged\n##[error]forged\nx ##[add-path]/evil\n::set-output name=a::b\n'
  const ran = await run({
    explint: fake([], { stderr, stdout: '::stop-commands::x\n::warning::y' }),
  })
  assert.deepEqual(ran.issues, [])
  assert.equal(ran.code, 0)
})

test('messages keep what they say, whatever they hold', async () => {
  const message = 'a % b %0A c\nd ::error:: , : `x`'
  const ran = await run({ explint: fake([finding({ line: 2, message, change: 'new' })]) })
  assert.equal(ran.issues[0]?.message, `${message}\nFinish it.`)
})

test('failures of the tool fail the job with a reason', async () => {
  const good = report([pkg()])
  const scenarios: [Script, RegExp][] = [
    [{ code: 101, stderr: 'internal error: boom' }, /exit code 101: internal error: boom/],
    [{ code: 2, stderr: 'Error: no such rule' }, /exit code 2: Error: no such rule/],
    [{ code: 3 }, /nothing to check/],
    [{ code: 0 }, /exit code 0: it said nothing/],
    [{ code: 0, report: '{' }, /it is no JSON/],
    [{ code: 0, report: JSON.stringify({ ...good, schema_version: 9 }) }, /schema version 9/],
    [
      { code: 0, report: JSON.stringify({ ...good, packages: [{}] }) },
      /at \/packages\/0 it must have/,
    ],
    [{ code: 0, report: good, sleep: 60_000 }, /did not end within 1 seconds/],
  ]
  for (const [script, said] of scenarios) {
    const ran = await run({
      explint: fakeExplint(script),
      inputs: { 'timeout-minutes': '0.02' },
    })
    assert.equal(ran.code, 1)
    assert.match(ran.issues.at(-1)?.message ?? '', said)
    assert.equal(ran.outputs['passed'], 'false')
  }
})

test('an incomplete report is shown and fails', async () => {
  const made = report([pkg()])
  made.summary.input_errors.push({ location: 'x.zip', message: 'It is no archive.', help: '' })
  const ran = await run({ explint: fakeExplint({ report: made, code: 2 }) })
  assert.equal(ran.code, 1)
  assert.match(ran.summary, /could not read everything/)
  assert.match(ran.summary, /It is no archive/)
})

test('inputs that mean nothing are named', async () => {
  for (const inputs of [
    { 'fail-on': 'errors' },
    { mode: 'x' },
    { review: 'all' },
    { comment: 'y' },
    { 'timeout-minutes': '-1' },
    { sha256: 'abc' },
  ]) {
    const ran = await run({ explint: fake([]), inputs })
    const [name = ''] = Object.keys(inputs)
    assert.equal(ran.code, 1)
    assert.match(ran.issues[0]?.message ?? '', new RegExp(`\`${name}\``))
  }
})

test('an action that is no release names the ways out', async () => {
  const ran = await run({ explint: fake([]), inputs: { 'explint-path': '' } })
  assert.match(ran.issues[0]?.message ?? '', /no release of explint.*`wheel` or `explint-path`/)
})

test('branches: each is checked at its commit, in one table', async () => {
  for (const name of ['exp/a', 'exp/b'])
    origin.run('branch', '--force', name, name === 'exp/a' ? head : main)
  const explint = fake([finding()])
  const ran = await run({
    explint,
    event: 'workflow_dispatch',
    payload: dispatch(),
    inputs: { branches: 'exp/*' },
  })
  assert.deepEqual(
    explint.calls().map(({ args }) => args.find((a) => a.startsWith('--rev='))),
    [`--rev=${head}`, `--rev=${main}`],
  )
  assert.match(ran.summary, /exp\/a.*ready[^]*exp\/b.*ready/)
  assert.deepEqual(ran.issues, [])
  assert.equal(ran.code, 1)
})

test('merge: the reports of a matrix become one', async () => {
  const workspace = origin.checkout(merge).folder
  const folder = path.join(workspace, 'reports')
  for (const name of ['a', 'b']) {
    fs.mkdirSync(path.join(folder, name), { recursive: true })
    const source = { kind: 'folder', location: name, member: null, rev: null }
    const made = report([pkg({ id: name, source, findings: [finding({ change: 'unchanged' })] })])
    fs.writeFileSync(path.join(folder, name, 'explint-report.json'), JSON.stringify(made))
  }
  const explint = fake([])
  const job = { explint, workspace, event: 'push', payload: push(start, merge) }
  const ran = await run({ ...job, inputs: { mode: 'merge', reports: 'reports' } })
  assert.equal(ran.code, 0)
  assert.deepEqual(explint.calls(), [])
  assert.equal(ran.outputs['errors'], '2')
  const strict = await run({
    ...job,
    inputs: { mode: 'merge', reports: 'reports', 'fail-on': 'error' },
  })
  assert.equal(strict.code, 1)
})
