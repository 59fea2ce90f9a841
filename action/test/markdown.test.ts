import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import MarkdownIt from 'markdown-it'
import { code, commandText, cut, inert, logLine, prose, urlPath } from '../src/escape.ts'
import { plan } from '../src/planner.ts'
import { changesComment, COMMENT_LIMIT, jobSummary, SUMMARY_LIMIT } from '../src/summary.ts'
import { anyFinding, finding, hostileText, pkg, report } from './reports.ts'
import { openFindings, type Finding } from '../src/report.ts'

const markdown = new MarkdownIt({ html: true, linkify: true })
// GitHub links addresses with a scheme, not whatever looks like a host.
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false })
const LINKS = { repository: 'https://github.example/o/r', commit: 'c'.repeat(40) }
// What the summary itself writes; anything else in it came from foreign text.
const OURS =
  /<\/?(?:h2|h3|p|blockquote|strong|em|table|thead|tbody|tr|th|td|code)>|<a href="https:\/\/github\.example\/o\/r\/blob\/[0-9a-f]{40}\/[^"<>\s]*#L\d+(?:-L\d+)?">|<\/a>/g

function context(
  findings: Finding[],
  changed: ReadonlyMap<string, [number, number][]> | null = null,
) {
  const made = report([
    pkg({
      findings,
      notes: ['a `note`'],
      comparison: { against: 'main', base: null, problem: 'no', fixed: findings },
    }),
  ])
  return {
    report: made,
    plan: plan(openFindings(made), changed),
    links: LINKS,
    notes: [],
    trials: [],
    passed: false,
    reportFile: 'explint.json',
  }
}

function foreignMarkup(html: string): string[] {
  return (
    html
      .replaceAll('<!-- ours -->', '')
      .replace(OURS, '')
      .match(/<[^>]*>?|>/g) ?? []
  )
}

test('no foreign text becomes markup, in prose and in code', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      for (const shown of [inert(text), prose(text), code(text)]) {
        assert.deepEqual(foreignMarkup(markdown.render(`x ${shown}`)), [])
        assert.doesNotMatch(shown, /[\r\n]/)
      }
    }),
  )
})

test('what is shown reads as what was written', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => {
      const html = markdown.renderInline(code(text))
      const read = html
        .replace(/^<code>|<\/code>$/g, '')
        .replace(
          /&(lt|gt|amp|quot);/g,
          (_, n: string) => ({ lt: '<', gt: '>', amp: '&', quot: '"' })[n] ?? '',
        )
      assert.equal(read, text.replace(/\s*[\r\n]+\s*/g, ' '))
    }),
  )
})

test('mentions and references are broken outside code', () => {
  assert.doesNotMatch(inert('@octocat #12 GH-12'), /(?:&#64;|&#35;|GH-)[a-z0-9]/)
})

test('the summary and the comment hold no markup of others', () => {
  fc.assert(
    fc.property(fc.array(anyFinding, { maxLength: 6 }), (findings) => {
      const all = context(findings)
      assert.deepEqual(foreignMarkup(markdown.render(jobSummary(all))), [])
      assert.deepEqual(foreignMarkup(markdown.render(changesComment(all, '<!-- ours -->'))), [])
    }),
  )
})

test('the summary keeps to its limit in bytes and says that it is cut', () => {
  fc.assert(
    fc.property(
      fc.array(anyFinding, { maxLength: 40 }),
      fc.integer({ min: 1200, max: 9000 }),
      (findings, limit) => {
        const text = jobSummary(context(findings), limit)
        assert.ok(Buffer.byteLength(text) <= limit)
        const rows = text.split('\n').filter((line) => /^\| [✗⚠ℹ] /.test(line)).length
        if (rows < findings.length) assert.match(text, /This summary is cut/)
      },
    ),
  )
})

test('5,000 long findings fit the limits of the runner and of a comment', () => {
  const findings = Array.from({ length: 5000 }, (_, n) =>
    finding({ line: n + 1, message: 'ä|'.repeat(200) }),
  )
  const all = context(findings)
  assert.ok(Buffer.byteLength(jobSummary(all)) <= SUMMARY_LIMIT)
  assert.ok(changesComment(all, '<!-- ours -->').length <= COMMENT_LIMIT)
})

test('the summary, the comment', (t) => {
  const findings = [
    finding({
      change: 'new',
      message: 'Local `p|q` is read <b>here</b>.',
      path: 'a b/%,:.py',
      line: 3,
      end_line: 5,
    }),
    finding({ change: 'unchanged', severity: 'warning', path: 'src/model.py' }),
    finding({ change: 'unchanged', state: 'suppressed' }),
  ]
  const criteria = { '1': 'violated', '2': 'unknown' } as const
  const made = report([
    pkg({
      id: 'one',
      source: { kind: 'folder', location: 'runs', member: 'one', rev: null },
      verdict: { is_code_ready: false, code_issue: '', criteria, undecided: [] },
      findings,
      coverage: { scanned: 3, skipped: [{ path: 'big.bin', reason: 'binary' }], failed: [] },
      comparison: {
        against: 'main',
        base: 'b'.repeat(40),
        problem: '',
        fixed: [finding({ line: 9 })],
      },
    }),
    pkg({ source: { kind: 'folder', location: 'runs', member: 'two', rev: null } }),
  ])
  const all = {
    report: made,
    plan: plan(openFindings(made), new Map([['runs/one/a b/%,:.py', [[3, 3]]]])),
    links: LINKS,
    trials: [
      { package: 'one', run: 'a|b', ended: '✗ SIGKILL', seconds: 9, memory: null, device: 'cpu' },
    ],
    notes: ['The comment could not be written: the token lacks `pull-requests: write`.'],
    passed: false,
    reportFile: 'explint.json',
  }
  t.assert.snapshot(markdown.render(jobSummary(all)), { serializers: [String] })
  t.assert.snapshot(markdown.render(changesComment(all, '<!-- ours -->')), {
    serializers: [String],
  })
})

test('a log line is never a command', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      const line = logLine(text)
      assert.ok(!line.includes('##[') && !line.trimStart().startsWith('::'))
      assert.ok(!commandText(text).includes('##['))
      assert.doesNotMatch(line, /[\r\n\u001b]/)
    }),
  )
})

test('cutting keeps characters whole', () => {
  assert.equal(cut('ab😀cd', 4), 'ab…')
  assert.equal(cut('abcd', 4), 'abcd')
})

test('a path in an address leads to that path', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      const path = text.toWellFormed()
      const address = urlPath(path)
      assert.equal(decodeURIComponent(address), path)
      assert.doesNotMatch(address, /[^A-Za-z0-9%/.-]/)
    }),
  )
})
