/** What the built actions write to GitHub, and what they do where they may not. */

import assert from 'node:assert/strict'
import path from 'node:path'
import { before, test } from 'node:test'
import { strToU8, zipSync } from 'fflate'
import type { Finding, Report } from '../src/report.ts'
import { pullRequest, workflowRun } from './events.ts'
import { github, type Server, type State } from './github.ts'
import { fakeExplint, Git } from './repositories.ts'
import { finding, pkg, report } from './reports.ts'
import { ROOT, step, type Ran } from './runner.ts'

const BASE = 'b'.repeat(40)
let origin: Git
let start: string
let head: string
let blob: string
const PATCH = '@@ -1,3 +1,3 @@\n a = 1\n-b = 2\n+b = cfg.lr\n c = 3'

before(() => {
  origin = Git.init()
  origin.write('src/train.py', 'a = 1\nb = 2\nc = 3\n'.concat('x = 0\n'.repeat(30)))
  start = origin.commit('start')
  origin.write('src/train.py', 'a = 1\nb = cfg.lr\nc = 3\n'.concat('x = 0\n'.repeat(30)))
  head = origin.commit('topic')
  blob = origin.run('rev-parse', 'HEAD:src/train.py')
})

function compared(findings: Finding[], fixed: Finding[] = []): Report {
  return report([pkg({ findings, comparison: { against: BASE, base: BASE, problem: '', fixed } })])
}

interface Options {
  made?: Report
  explint?: string
  inputs: Record<string, string>
  fork?: boolean
}

async function run(server: Server, { made, explint, inputs, fork = false }: Options): Promise<Ran> {
  const program = explint ?? fakeExplint({ report: made ?? compared([]) }).path
  const ran = await step({
    workspace: origin.checkout(head, 0).folder,
    event: 'pull_request',
    payload: pullRequest({ base: start, head, fork }),
    sha: head,
    api: server.url,
    inputs: { 'explint-path': program, ...inputs },
  })
  assert.deepEqual(server.state.wrong, [])
  return ran
}

async function withServer<T>(
  over: Partial<State>,
  use: (server: Server) => Promise<T>,
): Promise<T> {
  const server = await github(over)
  try {
    return await use(server)
  } finally {
    await server.close()
  }
}

const fresh = finding({ line: 2, end_line: 2, change: 'new' })
const COMMENT = { comment: 'changes' }

test('one comment is made, then edited in place, then left alone', () =>
  withServer({}, async (server) => {
    const { state } = server
    await run(server, { made: compared([]), inputs: COMMENT })
    assert.equal(state.comments.length, 0, 'nothing changed, so there is nothing to say')
    await run(server, { made: compared([fresh]), inputs: COMMENT })
    assert.equal(state.comments.length, 1)
    assert.match(state.comments[0]?.body ?? '', /1 new finding · 0 fixed/)
    await run(server, { made: compared([], [fresh]), inputs: COMMENT })
    assert.equal(state.comments.length, 1)
    assert.match(state.comments[0]?.body ?? '', /0 new findings · 1 fixed/)
    const writes = () => state.requests.filter((r) => !r.startsWith('GET')).length
    const before = writes()
    await run(server, { made: compared([], [fresh]), inputs: COMMENT })
    assert.equal(writes(), before)
    await run(server, { made: compared([]), inputs: COMMENT })
    assert.match(state.comments[0]?.body ?? '', /adds and fixes no findings/)
  }))

test('a comment of a person with the marker is left alone, on later pages too', () => {
  const person = { login: 'eve', type: 'User' }
  const theirs = Array.from({ length: 120 }, (_, id) => ({
    ...{ id, body: '<!-- explint: changes --> mine', user: person },
  }))
  return withServer({ comments: theirs }, async (server) => {
    await run(server, { made: compared([fresh]), inputs: COMMENT })
    assert.equal(server.state.comments.length, 121)
    assert.ok(server.state.comments.slice(0, 120).every((c) => c.body.endsWith('mine')))
  })
})

test('5,000 findings make a comment that GitHub takes', () =>
  withServer({}, async (server) => {
    const many = Array.from({ length: 5000 }, (_, n) => finding({ line: n + 1, change: 'new' }))
    const ran = await run(server, { made: compared(many), inputs: COMMENT })
    assert.match(server.state.comments[0]?.body ?? '', /Cut at GitHub's size limit/)
    assert.doesNotMatch(ran.summary, /could not be written/)
  }))

test('a refused write is a note that names the permission, and changes nothing else', async () => {
  for (const permissions of [{}, { 'pull-requests': 'read' as const }]) {
    await withServer({ permissions, files: files() }, async (server) => {
      const explint = tool()
      const ran = await run(server, {
        explint,
        fork: true,
        inputs: { ...COMMENT, review: 'suggestions' },
      })
      assert.match(ran.summary, /The comment could not be written.*pull-requests: write/)
      assert.match(ran.summary, /The review could not be written/)
      assert.equal(ran.code, 0)
      assert.equal(ran.outputs['passed'], 'true')
      assert.deepEqual(server.state.comments, [])
    })
  }
})

test('a busy GitHub is asked again, as it says', () =>
  withServer({ busy: 2 }, async (server) => {
    await run(server, { made: compared([fresh]), inputs: COMMENT })
    assert.equal(server.state.comments.length, 1)
  }))

test('a GitHub that stays busy, or is not there, costs a note', async () => {
  await withServer({ busy: 99 }, async (server) => {
    const ran = await run(server, { made: compared([fresh]), inputs: COMMENT })
    assert.match(ran.summary, /The comment could not be written: secondary rate limit/)
  })
  const server = await github()
  await server.close()
  const ran = await run(server, { made: compared([fresh]), inputs: COMMENT })
  assert.match(ran.summary, /The comment could not be written/)
  assert.equal(ran.code, 0)
})

test('nothing is written unless asked for', () =>
  withServer({}, async (server) => {
    await run(server, { made: compared([fresh]), inputs: {} })
    assert.deepEqual(server.state.requests, [])
  }))

const files = () => [{ filename: 'src/train.py', sha: blob, status: 'modified', patch: PATCH }]
const HELP = 'Read `cfg.run.lr`.'
const wrong = (line: number, text = 'cfg.lr') =>
  finding({
    line,
    end_line: line,
    message: `\`${text}\` is not there.`,
    help: HELP,
    change: 'new',
    fingerprint: `f${line}`,
  })

/** A tool that finds `cfg.lr`, and one finding more wherever a line holds `cfg.run.lr` beside `more`. */
function tool(more = 'nothing', first = ''): string {
  const template = JSON.stringify(compared([]))
  const found = JSON.stringify(wrong(2))
  const other = JSON.stringify(finding({ fingerprint: 'other' }))
  const body = `${first}
const text = fs.readFileSync('src/train.py', 'utf8')
const report = ${template}
const add = (f) => report.packages[0].findings.push(f)
if (text.includes('cfg.lr')) add(${found})
if (text.includes('cfg.run.lr') && text.includes(${JSON.stringify(more)})) add(${other})
fs.writeFileSync(args.find((a) => a.startsWith('--output=json:')).slice(14), JSON.stringify(report))`
  return fakeExplint({ body }).path
}

const REVIEW = { review: 'suggestions' }

test('a suggestion that holds is posted in one review, and not again', () =>
  withServer({ files: files() }, async (server) => {
    const explint = tool()
    await run(server, { explint, inputs: REVIEW })
    const [review] = server.state.reviews
    assert.equal(review?.commit_id, head)
    assert.equal(review?.event, 'COMMENT')
    assert.deepEqual(
      review?.comments.map(({ path: file, line, side }) => [file, line, side]),
      [['src/train.py', 2, 'RIGHT']],
    )
    assert.match(review?.comments[0]?.body ?? '', /```suggestion\nb = cfg\.run\.lr\n```/)
    await run(server, { explint, inputs: REVIEW })
    assert.equal(server.state.reviews.length, 1)
  }))

test('a suggestion that brings another finding is not made', () =>
  withServer({ files: files() }, async (server) => {
    const ran = await run(server, { explint: tool('a = 1'), inputs: REVIEW })
    assert.deepEqual(server.state.reviews, [])
    assert.doesNotMatch(ran.summary, /could not/)
  }))

test('trying suggestions ends in time, and the summary says what was not tried', () =>
  withServer({ files: files() }, async (server) => {
    const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60000)'
    const explint = tool('nothing', `if (!args.some((a) => a.startsWith('--fail-on='))) ${wait}`)
    const ran = await run(server, { explint, inputs: { ...REVIEW, 'timeout-minutes': '0.05' } })
    assert.deepEqual(server.state.reviews, [])
    assert.match(ran.summary, /Suggestions were not tried for 1 of the findings/)
    assert.equal(ran.outputs['errors'], '1')
  }))

test('no suggestion outside the hunks, nor for a file that the merge changed', async () => {
  const elsewhere = [{ ...files()[0], patch: '@@ -20,3 +20,4 @@\n x' }]
  const merged = [{ ...files()[0], sha: 'e'.repeat(40) }]
  for (const given of [elsewhere, merged, [{ ...files()[0], patch: undefined }]]) {
    await withServer({ files: given as State['files'] }, async (server) => {
      await run(server, { explint: tool(), inputs: REVIEW })
      assert.deepEqual(server.state.reviews, [])
    })
  }
})

const archive = (entries: Record<string, string>) =>
  zipSync(Object.fromEntries(Object.entries(entries).map(([name, text]) => [name, strToU8(text)])))

const ARTIFACT = { id: 5, name: 'explint-report', size_in_bytes: 1000, expired: false }
const PULL = { number: 7, head: { sha: BASE, label: 'eve:topic' } }

async function post(server: Server, payload = workflowRun(BASE)): Promise<Ran> {
  const ran = await step({
    action: path.join(ROOT, 'post'),
    workspace: origin.folder,
    event: 'workflow_run',
    payload,
    api: server.url,
  })
  assert.deepEqual(server.state.wrong, [])
  return ran
}

test('post: the report of a fork becomes a comment, escaped', () => {
  const message = '<img src=x> @octocat [x](http://e.example) `a|b`'
  const zip = archive({
    'explint-report.json': JSON.stringify(compared([finding({ message, change: 'new' })])),
  })
  return withServer({ pulls: [PULL], artifacts: [ARTIFACT], archive: zip }, async (server) => {
    const ran = await post(server)
    assert.equal(ran.code, 0)
    assert.deepEqual(ran.issues, [])
    const body = server.state.comments[0]?.body ?? ''
    assert.match(body, /1 new finding/)
    assert.doesNotMatch(body, /<img|@octocat|\[x\]|http:\/\/e/)
  })
})

test('post: a report that is none fails, and posts nothing', async () => {
  const bad: [Uint8Array, RegExp][] = [
    [strToU8('no archive'), /no archive/],
    [archive({ 'a.txt': 'x' }), /no JSON file/],
    [archive({ 'a.json': '{}', 'b.json': '{}' }), /more than one/],
    [archive({ '../../a.json': '{}' }), /must have required property/],
    [
      archive({ 'a.json': JSON.stringify({ ...compared([]), packages: [{ id: 1 }] }) }),
      /at \/packages\/0/,
    ],
  ]
  for (const [zip, said] of bad) {
    await withServer({ pulls: [PULL], artifacts: [ARTIFACT], archive: zip }, async (server) => {
      const ran = await post(server)
      assert.equal(ran.code, 1)
      assert.match(ran.issues[0]?.message ?? '', said)
      assert.deepEqual(server.state.comments, [])
    })
  }
})

test('post: a run without a pull request or an artifact is a notice', async () => {
  const zip = archive({ 'r.json': JSON.stringify(compared([fresh])) })
  const moved = { number: 7, head: { sha: 'a'.repeat(40), label: 'eve:topic' } }
  const scenarios: [Partial<State>, object, RegExp][] = [
    [{ pulls: [moved], artifacts: [ARTIFACT] }, workflowRun(BASE), /No open pull request/],
    [{ pulls: [PULL] }, workflowRun(BASE), /no artifact/],
    [
      { pulls: [PULL], artifacts: [{ ...ARTIFACT, size_in_bytes: 1e9 }] },
      workflowRun(BASE),
      /too large/,
    ],
    [{ pulls: [PULL], artifacts: [ARTIFACT] }, workflowRun(BASE, 'push'), /not for a pull request/],
    [
      {
        pulls: [PULL],
        artifacts: [ARTIFACT],
        permissions: { actions: 'read', 'pull-requests': 'read' },
      },
      workflowRun(BASE),
      /pull-requests: write/,
    ],
  ]
  for (const [over, payload, said] of scenarios) {
    await withServer({ archive: zip, ...over }, async (server) => {
      const ran = await post(server, payload)
      assert.equal(ran.code, 0)
      assert.match(ran.issues[0]?.message ?? '', said)
      assert.deepEqual(server.state.comments, [])
    })
  }
})
