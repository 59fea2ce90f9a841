/** Reports for the tests: small ones written out, and arbitrary ones full of hostile text. */

import fc from 'fast-check'
import type { Finding, Located, PackageReport, Report } from '../src/report.ts'

export function finding(over: Partial<Finding> = {}): Finding {
  return {
    rule: 'complete/todo-marker',
    code: 'CMP002',
    severity: 'error',
    message: 'The comment `TODO` marks unfinished work.',
    help: 'Finish it.',
    path: 'src/train.py',
    line: 1,
    column: 1,
    end_line: 1,
    end_column: 5,
    related: [],
    fingerprint: '0'.repeat(32),
    state: 'open',
    change: null,
    ...over,
  }
}

export function located(over: Partial<Located> = {}): Located {
  const made = finding(over)
  return { ...made, file: made.path, package: 'x', commit: null, ...over }
}

export function pkg(over: Partial<PackageReport> = {}): PackageReport {
  const states = Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [n, 'met' as const]))
  return {
    id: 'x',
    source: { kind: 'folder', location: '.', member: null, rev: null },
    profile: { name: 'full-trial', reason: 'given' },
    verdict: { is_code_ready: true, code_issue: '', criteria: states, undecided: [] },
    coverage: { scanned: 3, skipped: [], failed: [] },
    findings: [],
    hidden: 0,
    complete: true,
    notes: [],
    comparison: null,
    ...over,
  }
}

export function report(packages: PackageReport[]): Report {
  return {
    schema_version: 1,
    tool: { name: 'explint', version: '0.1.0', rules_version: '2' },
    packages,
    summary: { input_errors: [], interrupted: false },
  }
}

/** Text that means something to the runner, to Markdown, to HTML or to a terminal. */
export const hostileText = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 8 }),
      fc.constantFrom(
        '::error::x',
        '##[error]',
        '%',
        '%0A',
        '\r\n',
        '\n',
        ':',
        ',',
        '`',
        '|',
        '</code>',
        '<!--',
        '<script>alert(1)</script>',
        '<img src=x onerror=y>',
        '[a](javascript:b)',
        '![a](http://c)',
        '@octocat',
        '#1',
        'GH-7',
        'https://e.example/',
        'www.e.example',
        '**b**',
        '$x$',
        '~~~',
        '# h',
        '\u202e',
        '\u0000',
        '\u001b[31m',
        '\ud800',
        '&lt;',
        '\\',
        '"',
        "'",
        '```suggestion\n',
        '---',
      ),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.join(''))

export const anyFinding: fc.Arbitrary<Finding> = fc
  .record({
    rule: fc.constantFrom('complete/todo-marker', 'hydra/bad-override', 'trial/unbounded-loop'),
    severity: fc.constantFrom('error' as const, 'warning' as const, 'info' as const),
    message: hostileText,
    help: hostileText,
    path: fc.oneof(
      fc.constantFrom('a.py', 'b.py', 'c/d.py'),
      hostileText.map((t) => `${t}.py`),
    ),
    line: fc.integer({ min: 1, max: 40 }),
    span: fc.integer({ min: 0, max: 3 }),
    column: fc.integer({ min: 1, max: 9 }),
    end_column: fc.integer({ min: 1, max: 9 }),
    change: fc.constantFrom('new' as const, 'unchanged' as const, null),
    related: fc.array(
      fc.record({ path: hostileText, line: fc.constant(3), message: hostileText }),
      {
        maxLength: 2,
      },
    ),
  })
  .map(({ span, ...rest }) => finding({ ...rest, end_line: rest.line + span }))

export const anyLocated: fc.Arbitrary<Located> = anyFinding.chain((made) =>
  fc.boolean().map((inside) => ({
    ...made,
    file: inside ? made.path : null,
    package: 'x',
    commit: null,
  })),
)
