import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { rewritten, suggestionBody } from '../src/review.ts'
import { anyLocated, hostileText, located } from './reports.ts'

const one = (message: string, help: string, line: string) =>
  rewritten(located({ message, help, column: 1, end_column: 1 }), line)

test('names that the help gives take the place of those that the message calls wrong', () => {
  assert.deepEqual(
    one(
      '`cfg.a` and `cfg.b` are read.',
      'Read `cfg.run.a` and `cfg.run.b`.',
      'x = cfg.b + cfg.bc + y.cfg.b',
    ),
    ['x = cfg.run.b + cfg.bc + y.cfg.b'],
  )
  assert.deepEqual(one('`mdoel` is not defined; did you mean `model`?', '', 'mdoel(mdoel)'), [
    'model(model)',
  ])
  assert.deepEqual(one('The direction is "minimise".', 'Write `minimize`.', 'd="minimise"'), [
    'd="minimize"',
  ])
})

test('advice in words is not taken for code', () => {
  assert.deepEqual(one('`a` is missing.', 'Add `import a` at the top of the file.', 'a.b'), [])
  assert.deepEqual(one('`a` is wrong.', 'Write `f(…)`.', 'a.b'), [])
})

test('a span is counted in characters', () => {
  const finding = located({ message: 'Wrong.', help: 'Write `y`.', column: 4, end_column: 5 })
  assert.deepEqual(rewritten(finding, '😀= x # z'), ['😀= y # z'])
})

test('a line is replaced by other lines without a line end, three at most', () => {
  fc.assert(
    fc.property(anyLocated, hostileText, (finding, text) => {
      const line = text.replace(/[\r\n]/g, ' ')
      const lines = rewritten(finding, line)
      assert.ok(
        lines.length <= 3 && lines.every((fresh) => fresh !== line && !/[\r\n]/.test(fresh)),
      )
    }),
  )
})

test('no text closes the fence of its suggestion', () => {
  const body = suggestionBody(located(), 'a = """```` ```suggestion"""')
  assert.match(body, /\n`{5}suggestion\n[^]*\n`{5}\n$/)
})
