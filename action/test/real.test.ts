/** The built action with the real explint, where `EXPLINT` names one (`make test-action` does). */

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { before, test } from 'node:test'
import { pullRequest } from './events.ts'
import { github } from './github.ts'
import { Git } from './repositories.ts'
import { ROOT, step } from './runner.ts'

const explint = process.env['EXPLINT'] ?? ''
const skip = explint === '' && 'EXPLINT names no explint'

let origin: Git
let base: string
let head: string

before(() => {
  if (skip) return
  origin = Git.init()
  fs.cpSync(path.join(ROOT, 'examples', 'broken-names'), path.join(origin.folder, 'runs', 'one'), {
    recursive: true,
  })
  base = origin.commit('with old defects')
  const model = path.join(origin.folder, 'runs', 'one', 'src', 'model.py')
  fs.appendFileSync(model, '\n\nDEPTH = undefined_depth\n')
  head = origin.commit('one more')
})

test('a new defect is annotated, old ones are told of, and the job fails', { skip }, async () => {
  const ran = await step({
    workspace: origin.checkout(head).folder,
    event: 'pull_request',
    payload: pullRequest({ base, head }),
    sha: head,
    inputs: { 'explint-path': explint, roots: 'runs', 'sarif-file': 'out.sarif' },
  })
  const line =
    fs.readFileSync(path.join(origin.folder, 'runs/one/src/model.py'), 'utf8').split('\n').length -
    1
  const [error, notice, ...more] = ran.issues
  assert.equal(error?.level, 'error')
  assert.equal(error?.properties['file'], 'runs/one/src/model.py')
  assert.equal(error?.properties['line'], String(line))
  assert.match(error?.message ?? '', /`undefined_depth`/)
  assert.equal(notice?.level, 'notice')
  assert.match(notice?.message ?? '', /0 new, 3 old/)
  assert.deepEqual(more, [])
  assert.equal(ran.code, 1)
  assert.equal(ran.outputs['new'], '1')
  assert.equal(ran.outputs['ready'], 'false')
  assert.ok(JSON.parse(fs.readFileSync(ran.outputs['sarif'] ?? '', 'utf8')).runs.length === 1)
})

test('old defects alone let the job pass', { skip }, async () => {
  const ran = await step({
    workspace: origin.checkout(base).folder,
    event: 'pull_request',
    payload: pullRequest({ base, head: base }),
    sha: base,
    inputs: { 'explint-path': explint, roots: 'runs' },
  })
  assert.equal(ran.code, 0)
  assert.equal(ran.outputs['ready'], 'false')
})

test('branches are read from git, and no package is no success', { skip }, async () => {
  origin.run('branch', '--force', 'experiment/a', base)
  origin.run('branch', '--force', 'experiment/b', head)
  const job = {
    workspace: origin.checkout(head).folder,
    event: 'schedule',
    payload: {},
    sha: head,
  }
  const inputs = { 'explint-path': explint, branches: 'experiment/*', 'fail-on': 'never' }
  const ran = await step({ ...job, inputs })
  assert.equal(ran.code, 0)
  assert.match(ran.summary, /experiment&#47;a|experiment\/a/)
  assert.equal(ran.outputs['errors'], '7')
  fs.mkdirSync(path.join(job.workspace, 'empty'))
  const none = await step({ ...job, inputs: { 'explint-path': explint, roots: 'empty' } })
  assert.match(none.issues[0]?.message ?? '', /nothing to check/)
})

test('a suggestion is one that the real explint agrees with', { skip }, async () => {
  const git = Git.init()
  fs.cpSync(path.join(ROOT, 'examples', 'broken-names'), git.folder, { recursive: true })
  const start = git.commit()
  const file = 'src/model.py'
  const old = fs.readFileSync(path.join(git.folder, file), 'utf8')
  git.write(file, `${old}\n\nDEPTH = undefined_depth\nBUILD = [build_modle, 1]\n`)
  const topic = git.commit()
  const lines = old.split('\n').length
  const patch = `@@ -${lines},0 +${lines},4 @@\n+\n+\n+DEPTH = undefined_depth\n+BUILD = [build_modle, 1]`
  const server = await github({
    files: [
      {
        filename: file,
        sha: git.run('rev-parse', `HEAD:${file}`),
        status: 'modified',
        patch,
      },
    ],
  })
  const ran = await step({
    workspace: git.checkout(topic, 0).folder,
    event: 'pull_request',
    payload: pullRequest({ base: start, head: topic }),
    sha: topic,
    api: server.url,
    inputs: { 'explint-path': explint, review: 'suggestions', comment: 'changes' },
  })
  await server.close()
  assert.deepEqual(server.state.wrong, [])
  // What DEPTH should be nobody knows; the other name is one letter away from one that is there.
  const comments = server.state.reviews.flatMap((review) => review.comments)
  assert.deepEqual(
    comments.map(({ path: name, line }) => [name, line]),
    [[file, lines + 3]],
  )
  assert.match(comments[0]?.body ?? '', /```suggestion\nBUILD = \[build_model, 1\]\n```/)
  assert.match(server.state.comments[0]?.body ?? '', /2 new findings/)
  assert.equal(ran.code, 1)
})
