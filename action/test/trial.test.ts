/** A trial: joined with the check, told in the summary, and never begun for a fork. */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { before, test } from 'node:test'
import { dispatch, pullRequest } from './events.ts'
import { fakeExplint, Git, type FakeExplint } from './repositories.ts'
import { finding, pkg, report } from './reports.ts'
import { step, type Ran } from './runner.ts'

let origin: Git
let start: string
let head: string

before(() => {
  origin = Git.init()
  origin.write('src/train.py', 'a = 1\n')
  start = origin.commit('start')
  origin.write('src/train.py', 'a = 1\nb = 2\n')
  head = origin.commit('topic')
})

const crash = finding({
  rule: 'run/crash',
  code: 'RUN001',
  line: 2,
  end_line: 2,
  message: 'KeyError: `lr`.',
  help: 'Write the key.',
})
const base = { against: 'x', base: 'b'.repeat(40), problem: '', fixed: [] }
const reading = report([pkg({ comparison: base })])

/** A tool whose check finds nothing, and whose trial says what the test wants. */
function tool(seen: object | null, outcomes: Record<string, unknown> = {}, code = 0): FakeExplint {
  const body = `
  const folder = args.find((a) => a.startsWith('--out='))?.slice(6)
  if (args[0] === 'trial') {
    for (const [name, outcome] of Object.entries(${JSON.stringify(outcomes)})) {
      fs.mkdirSync(folder + '/runs/' + name, { recursive: true })
      const text = typeof outcome === 'string' ? outcome : JSON.stringify(outcome)
      fs.writeFileSync(folder + '/runs/' + name + '/outcome.json', text)
    }
    const seen = ${JSON.stringify(seen)}
    if (seen !== null) fs.writeFileSync(file, JSON.stringify(seen))
    fs.writeSync(2, 'no uv on PATH\\n')
    process.exitCode = ${code}
    return
  }
  fs.writeFileSync(file, ${JSON.stringify(JSON.stringify(reading))})`
  return fakeExplint({ body })
}

interface Options {
  explint: FakeExplint
  inputs?: Record<string, string>
  event?: string
  payload?: object
}

const run = ({ explint, inputs, event, payload }: Options): Promise<Ran> =>
  step({
    workspace: origin.checkout(head, 0).folder,
    event: event ?? 'pull_request',
    payload: payload ?? pullRequest({ base: start, head }),
    sha: head,
    inputs: { 'explint-path': explint.path, trial: 'true', ...inputs },
  })

const verdict = { ...pkg().verdict, is_code_ready: false, code_issue: 'It crashes.' }
const RUNS = {
  one: {
    ...{ package: 'x', run_id: 'a', started: true, exit_code: 1, seconds: 3.5 },
    ...{ peak_memory: 512 * 2 ** 20, device: 'cpu' },
  },
  two: { package: 'x', run_id: 'b', timed_out: true, seconds: 60, device: 'cpu' },
  three: '{ cut',
}

test('a crash is annotated at its line, told in the summary, and fails the job', async () => {
  const seen = report([pkg({ verdict, findings: [crash], notes: ['Ran in bubblewrap.'] })])
  const explint = tool(seen, RUNS)
  const ran = await run({ explint, inputs: { 'trial-options': '--gpus=1\n--mode=trial' } })
  assert.equal(ran.code, 1)
  assert.equal(ran.outputs['ready'], 'false')
  assert.deepEqual(
    ran.issues.map(({ level, properties: { file, line, title } }) => [level, file, line, title]),
    [['error', 'src/train.py', '2', 'run/crash (RUN001)']],
  )
  assert.match(ran.summary, /### Trial/)
  assert.match(ran.summary, /<code>a<\/code> \| ✗ exit code 1 \| 3\.5 s \| 512 MiB \| cpu/)
  assert.match(ran.summary, /<code>b<\/code> \| ✗ out of time/)
  const [, trial] = explint.calls()
  assert.equal(trial?.args[0], 'trial')
  assert.ok(trial?.args.includes('--gpus=1') && trial.args.includes('--mode=trial'))
  assert.deepEqual(trial?.args.slice(-2), ['--', '.'])
  const written = JSON.parse(fs.readFileSync(ran.outputs['report'] ?? '', 'utf8'))
  assert.deepEqual(
    written.packages[0].findings.map((f: { rule: string }) => f.rule),
    ['run/crash'],
  )
})

test('a trial that went well leaves a green check green', async () => {
  const ran = await run({ explint: tool(reading, { one: { ...RUNS.one, exit_code: 0 } }) })
  assert.equal(ran.code, 0)
  assert.match(ran.summary, /✓ to its end/)
})

test('a trial that gives no report fails with what the tool said last', async () => {
  const ran = await run({ explint: tool(null, {}, 101) })
  assert.equal(ran.code, 1)
  assert.match(ran.summary, /The trial gave no report: no uv on PATH/)
})

test('never says fail', async () => {
  const seen = report([pkg({ verdict, findings: [crash] })])
  const ran = await run({ explint: tool(seen), inputs: { 'fail-on': 'never' } })
  assert.equal(ran.code, 0)
})

test('no trial for a fork, whatever the event and the inputs', async () => {
  for (const event of ['pull_request', 'pull_request_target']) {
    const explint = tool(report([pkg({ findings: [crash] })]))
    const payload = pullRequest({ base: start, head, fork: true })
    const ran = await run({ explint, event, payload })
    assert.deepEqual(
      explint.calls().map(({ args }) => args[0]),
      ['check'],
    )
    assert.match(ran.summary, /No trial is run for a pull request from a fork/)
    assert.equal(ran.code, 0)
  }
})

test('a person may start one by hand', async () => {
  const explint = tool(reading)
  await run({ explint, event: 'workflow_dispatch', payload: dispatch() })
  assert.deepEqual(
    explint.calls().map(({ args }) => args[0]),
    ['check', 'trial'],
  )
})

test('inputs that exclude a trial are named', async () => {
  for (const inputs of [{ mode: 'merge' }, { branches: 'exp/*' }, { trial: 'yes' }]) {
    const ran = await run({ explint: tool(reading), inputs })
    assert.equal(ran.code, 1)
    assert.match(ran.issues[0]?.message ?? '', /`trial`/)
  }
})
