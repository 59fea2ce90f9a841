import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { changedLines, hunksOf, unquote } from '../src/diff.ts'
import { glob, Repository } from '../src/git.ts'
import { waitFor } from '../src/github.ts'
import { inside, InputProblem, isWithin } from '../src/inputs.ts'
import { Git } from './repositories.ts'

test('changed lines are those that git calls changed, whatever the lines hold', async () => {
  const line = fc.constantFrom(
    'a',
    '+++ b/x.py',
    '--- a/x.py',
    '@@ -1 +1,9 @@',
    'diff --git a/y b/y',
    '\\ No',
    '-',
    '',
  )
  const file = fc.array(line, { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(file, file, async (before, after) => {
      const git = Git.init()
      git.write('x.py', before.map((text) => `${text}\n`).join(''))
      const base = git.commit()
      git.write('x.py', after.map((text) => `${text}\n`).join(''))
      const changed = await new Repository(git.folder, null).changed(base)
      assert.ok([...changed.keys()].every((name) => name === 'x.py'))
      // What is not called changed stands in the base, in the same order.
      const ranges = changed.get('x.py') ?? []
      const kept = after.filter(
        (_, n) => !ranges.some(([from, to]) => from <= n + 1 && n + 1 <= to),
      )
      const rest = before.values()
      assert.ok(kept.every((text) => rest.some((old) => old === text)))
    }),
    { numRuns: 15 },
  )
})

test('a deletion changes no line of the new file, and a deleted file has none', () => {
  const diff = [
    'diff --git a/a.py b/a.py',
    '--- a/a.py',
    '+++ b/a.py',
    '@@ -3,2 +2,0 @@',
    '-x',
    '-y',
    '@@ -9 +6,2 @@',
    '-z',
    '+p',
    '+q',
    'diff --git a/b.py b/b.py',
    '--- a/b.py',
    '+++ /dev/null',
    '@@ -1 +0,0 @@',
    '-x',
  ].join('\n')
  assert.deepEqual([...changedLines(diff)], [['a.py', [[6, 7]]]])
})

test('names are unquoted as git quotes them', () => {
  assert.equal(unquote('"b/n\\303\\244me \\"x\\"\\t\\\\.py"'), 'b/näme "x"\t\\.py')
  assert.equal(unquote('plain'), 'plain')
})

test('hunks cover the lines that a patch shows', () => {
  assert.deepEqual(hunksOf('@@ -1,3 +1,4 @@ def f():\n a\n@@ -9 +10 @@\n b\n@@ -20,2 +21,0 @@'), [
    { first: 1, last: 4 },
    { first: 10, last: 10 },
    { first: 21, last: 20 },
  ])
})

test('a pattern of branches stands for names, not for a regular expression', () => {
  assert.ok(glob('exp/*').test('exp/a/b'))
  assert.ok(!glob('exp/*').test('other/exp/a'))
  assert.ok(!glob('a.c').test('abc'))
  assert.ok(glob('[x](y)+*').test('[x](y)+1'))
})

test('GitHub is waited for where it asks, and not for hours', () => {
  const refusal = (status: number, headers: Record<string, string> = {}) => ({
    status,
    message: '',
    response: { headers },
  })
  assert.equal(waitFor(refusal(429, { 'retry-after': '7' }), 1), 7)
  assert.equal(waitFor(refusal(403, { 'retry-after': '7' }), 1), 7)
  assert.equal(waitFor(refusal(429, { 'retry-after': '3600' }), 1), null)
  assert.equal(waitFor(refusal(403), 1), null)
  assert.equal(
    waitFor(refusal(403, { 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': '130' }), 1, 100_000),
    30,
  )
  assert.equal(waitFor(refusal(422), 1), null)
  assert.equal(waitFor(refusal(503), 2), 4)
})

test('a folder holds itself and what is below', () => {
  assert.ok(isWithin('/a', '/a') && isWithin('/a', '/a/b') && isWithin('/a', '/a/..b'))
  assert.ok(!isWithin('/a', '/ab') && !isWithin('/a', '/') && !isWithin('/a', '/b'))
  assert.throws(() => inside('/usr', '../etc', 'roots'), InputProblem)
})
