import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ChangedLines } from '../src/planner.ts'
import { isOnChangedLine, MESSAGE_LIMIT, plan } from '../src/planner.ts'
import { anyLocated, located } from './reports.ts'

const anyChanges: fc.Arbitrary<ChangedLines | null> = fc.option(
  fc
    .dictionary(
      fc.constantFrom('a.py', 'b.py', 'c/d.py'),
      fc.array(
        fc
          .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 0, max: 5 }))
          .map(([start, length]) => [start, start + length] as const),
        { maxLength: 3 },
      ),
    )
    .map((entries) => new Map(Object.entries(entries))),
)
const anyFindings = fc.array(anyLocated, { maxLength: 60 })

test('no level gets more annotations than the runner shows', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      const { annotations } = plan(findings, changed)
      for (const level of ['error', 'warning', 'notice']) {
        assert.ok(annotations.filter((a) => a.level === level).length <= 10)
      }
    }),
  )
})

test('every finding is annotated by itself or counted in a closing annotation', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      let told = 0
      for (const { title } of plan(findings, changed).annotations) {
        const counts = [...title.matchAll(/(\d+) more (?:error|warning|note)/g)]
        told += counts.reduce((sum, match) => sum + Number(match[1]), 0)
        if (counts.length === 0) told += 1
      }
      assert.equal(told, findings.length)
    }),
  )
})

test('the ranking keeps every finding and follows line, severity, age', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      const { ranked, onChangedLines } = plan(findings, changed)
      assert.deepEqual(new Set(ranked), new Set(findings))
      assert.equal(ranked.length, findings.length)
      const keys = ranked.map((f) => [
        changed !== null && !isOnChangedLine(f, changed) ? 1 : 0,
        ['error', 'warning', 'info'].indexOf(f.severity),
        f.change === 'unchanged' ? 1 : 0,
      ])
      for (const [index, key] of keys.slice(1).entries()) {
        const before = keys[index] ?? []
        const first = key.findIndex((part, i) => part !== before[i])
        assert.ok(first === -1 || Number(before[first]) < Number(key[first]))
      }
      assert.equal(keys.filter(([away]) => away === 0).length, onChangedLines)
    }),
  )
})

test('only findings on changed lines are annotated by themselves', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      if (changed === null) return
      for (const { file, startLine = 0, endLine = 0 } of plan(findings, changed).annotations) {
        if (file === undefined) continue
        const ranges = changed.get(file) ?? []
        assert.ok(ranges.some(([first, last]) => startLine <= last && first <= endLine))
      }
    }),
  )
})

test('the order of the findings does not matter', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      const turned = plan(findings.toReversed(), changed)
      assert.deepEqual(turned.annotations, plan(findings, changed).annotations)
    }),
  )
})

test('annotations are what the runner takes: short, with columns on one line only', () => {
  fc.assert(
    fc.property(anyFindings, anyChanges, (findings, changed) => {
      for (const a of plan(findings, changed).annotations) {
        assert.ok(a.message.length <= MESSAGE_LIMIT)
        assert.ok(!a.message.includes('##['))
        if (a.startColumn !== undefined) assert.equal(a.startLine, a.endLine)
        if (a.endColumn !== undefined) assert.ok(a.endColumn > (a.startColumn ?? 0))
      }
    }),
  )
})

test('0, 9, 10, 11, 51 and 5,000 errors', () => {
  for (const [number, shown] of [
    [0, 0],
    [9, 9],
    [10, 10],
    [11, 10],
    [51, 10],
    [5000, 10],
  ] as const) {
    const findings = Array.from({ length: number }, (_, index) => located({ line: index + 1 }))
    const { annotations } = plan(findings, null)
    assert.equal(annotations.length, shown)
    if (number > 9) {
      const last = annotations.at(-1)
      assert.equal(last?.title, `explint: ${number - 9} more error${number === 10 ? '' : 's'}`)
      assert.match(last.message, /src\/train\.py:10: complete\/todo-marker/)
    }
  }
})

test('old errors in other places raise no alarm', () => {
  const { annotations } = plan([located({ change: 'unchanged' })], new Map())
  assert.deepEqual(
    annotations.map((a) => [a.level, a.title]),
    [['notice', 'explint: 1 more error']],
  )
  assert.match(annotations[0]?.message ?? '', /0 new, 1 old/)
})
