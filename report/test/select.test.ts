import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Audit, distinctEnds, type Overview, type Severity } from '../src/data.ts'
import {
  errorBins,
  groups,
  histories,
  NOTHING,
  ruleCounts,
  select,
  standing,
  type Filter,
} from '../src/select.ts'

function rule(name: string, code: string, severity: Severity, criteria: number[]) {
  return { name, code, severity, criteria, summary: '', page: null }
}

/** Four packages: three versions of one, and one that failed. */
const overview: Overview = {
  version: 1,
  name: 'Audit',
  tool: { version: '0', rules_version: '1' },
  sources: ['here'],
  seconds: 1,
  complete: true,
  counts: {
    packages: 4,
    ready: 1,
    unready: 2,
    failed: 1,
    incomplete: 0,
    findings: 4,
    errors: 3,
    warnings: 1,
    infos: 0,
    suppressed: 0,
  },
  criteria: Array.from({ length: 9 }, (_, i) => `Criterion ${i + 1}`),
  rules: [
    rule('hydra/missing-key', 'HYD001', 'error', [2]),
    rule('data/no-cache-dir', 'DAT001', 'warning', [3]),
  ],
  profiles: ['full-trial', 'trial-mode'],
  places: ['study', 'other'],
  series: ['study'],
  messages: ['`cfg.Width` has no value.', 'No cache.', '`cfg.depth` has no value.'],
  paths: ['src/train.py'],
  packages: {
    id: ['study@b', 'study@a', 'study@c', 'other'],
    profile: [0, 0, 1, -1],
    place: [0, 0, 0, 1],
    series: [0, 0, 0, -1],
    order: [1, 0, 2, null],
    version: ['b', 'a', 'c', null],
    verdict: 'nnrf',
    criteria: 'mvumuumum' + 'mvumuumum' + 'mmmmmmmmm' + '---------',
    errors: [1, 2, 0, 0],
    warnings: [1, 0, 0, 0],
    infos: [0, 0, 0, 0],
    first: [0, 0, -1, -1],
    seconds: [0.1, 0.2, 0.3, 0],
    findings: [2, 2, 0, 0],
  },
  findings: { rule: [0, 1, 0, 0], message: [0, 1, 0, 2], path: [0, 0, 0, 0] },
  block: 100,
  judgement: null,
}
const audit = new Audit(overview)
const all = select(audit, NOTHING)

function found(filter: Partial<Filter>): string[] {
  return [...select(audit, { ...NOTHING, ...filter })].map((i) => overview.packages.id[i]!)
}

test('a filter lets through what fits all of its parts', () => {
  assert.deepEqual(found({}), overview.packages.id)
  assert.deepEqual(found({ verdict: 'ready' }), ['study@c'])
  assert.deepEqual(found({ verdict: 'failed' }), ['other'])
  assert.deepEqual(found({ profile: 'full-trial' }), ['study@b', 'study@a'])
  assert.deepEqual(found({ place: 'other' }), ['other'])
  assert.deepEqual(found({ criterion: '2' }), ['study@b', 'study@a'])
  assert.deepEqual(found({ rule: 'data/no-cache-dir' }), ['study@b'])
  assert.deepEqual(found({ rule: 'no/such-rule' }), [])
  assert.deepEqual(found({ verdict: 'not ready', rule: 'data/no-cache-dir' }), ['study@b'])
})

test('each word of a search stands in a name, a rule or a message, in any case', () => {
  assert.deepEqual(found({ words: 'STUDY@A' }), ['study@a'])
  assert.deepEqual(found({ words: 'hyd001' }), ['study@b', 'study@a'])
  assert.deepEqual(found({ words: 'cfg.depth' }), ['study@a'])
  assert.deepEqual(found({ words: 'cfg.width cache' }), ['study@b'])
  assert.deepEqual(found({ words: 'trial-mode' }), ['study@c'])
  assert.deepEqual(found({ words: '  ' }), overview.packages.id)
  assert.deepEqual(found({ words: 'absent' }), [])
})

test('rules are counted by packages, findings and first blocks', () => {
  assert.deepEqual(ruleCounts(audit, all), [
    { rule: 0, packages: 2, findings: 3, first: 2 },
    { rule: 1, packages: 1, findings: 1, first: 0 },
  ])
})

test('packages are grouped, the largest group first', () => {
  assert.deepEqual(standing(audit, all), { ready: 1, unready: 2, failed: 1 })
  const byProfile = groups(audit, all, 'profile')
  assert.deepEqual(
    byProfile.map((group) => group.name),
    ['full-trial', 'not judged', 'trial-mode'],
  )
  assert.deepEqual(byProfile[0]!.criteria[1], { met: 0, violated: 2, unknown: 0 })
  assert.deepEqual(
    groups(audit, all, 'series').map((group) => group.name),
    ['study'],
  )
})

test('versions stand in the order of the history', () => {
  assert.deepEqual(histories(audit, all), [{ series: 0, of: [1, 0, 2] }])
  assert.deepEqual(histories(audit, all.subarray(0, 1)), [])
})

test('bins hold each judged package once', () => {
  assert.deepEqual(
    errorBins(audit, all).map((bin) => [bin.from, bin.packages]),
    [
      [0, 1],
      [1, 1],
      [2, 1],
    ],
  )
  assert.deepEqual(errorBins(audit, all.subarray(3)), [])
})

test('paths are cut to the ends that tell them apart', () => {
  assert.deepEqual(distinctEnds(['/a/b/study', '/a/c/other/']), ['study', 'other'])
  assert.deepEqual(distinctEnds(['/a/b/x', '/a/c/x']), ['b/x', 'c/x'])
  assert.deepEqual(distinctEnds(['x']), ['x'])
  assert.deepEqual(distinctEnds(['x/', 'x']), ['x/', 'x'])
  assert.deepEqual(distinctEnds([]), [])
})
