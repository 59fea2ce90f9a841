/** One package with everything that is known of it, over the page. */

import { type Audit, type Detail, type FindingDetail, type Rule, unpack } from './data.ts'
import { counted, fill, h, number, type Child } from './dom.ts'
import { criterionTitle, shortVersion, STATES, verdictBadge } from './pieces.ts'

interface Shown extends FindingDetail {
  rule: Rule
  message: string
  path: string
}

export interface Neighbours {
  before: number | null
  after: number | null
}

const blocks = new Map<number, Promise<Detail[]>>()

/** What the blocks of the page hold of a package. */
export async function detailOf(audit: Audit, index: number): Promise<Detail> {
  const size = audit.overview.block
  const block = Math.floor(index / size)
  let details = blocks.get(block)
  if (details === undefined) {
    const text = document.getElementById(`details-${block}`)?.textContent ?? ''
    details = unpack<Detail[]>(text)
    blocks.set(block, details)
  }
  return (await details)[index % size]!
}

/** Fills the dialog with a package. */
export function show(
  audit: Audit,
  index: number,
  detail: Detail,
  dialog: HTMLDialogElement,
  neighbours: Neighbours,
  go: (index: number) => void,
): void {
  const { packages } = audit.overview
  const verdict = packages.verdict[index]!
  const step = (text: string, to: number | null, key: string) =>
    h(
      'button',
      {
        type: 'button',
        class: 'quiet',
        disabled: to === null,
        'data-key': key,
        click: () => to !== null && go(to),
      },
      text,
    )
  fill(
    dialog,
    h(
      'div',
      { class: 'sheet-head' },
      h(
        'div',
        { class: 'sheet-title' },
        h('h2', { id: 'package-title', tabindex: -1 }, h('bdi', {}, packages.id[index]!)),
        h(
          'div',
          { class: 'sheet-buttons' },
          step('← Previous', neighbours.before, 'previous'),
          step('Next →', neighbours.after, 'next'),
          h(
            'button',
            { type: 'button', class: 'quiet', 'data-key': 'close', click: () => dialog.close() },
            'Close',
          ),
        ),
      ),
      h(
        'p',
        { class: 'sums' },
        verdictBadge(verdict),
        ...(verdict === 'f' ? [] : severities(audit, index)),
      ),
    ),
    h(
      'div',
      { class: 'sheet' },
      facts(audit, index, detail),
      failure(detail),
      criteria(audit, index, detail),
      ...judge(detail),
      ...findings(audit, index, detail),
      ...files(detail),
    ),
  )
}

function severities(audit: Audit, index: number): Child[] {
  const { packages } = audit.overview
  const sums = [
    [packages.errors[index]!, 'error'],
    [packages.warnings[index]!, 'warning'],
    [packages.infos[index]!, 'info'],
  ] as const
  return sums
    .filter(([sum]) => sum > 0)
    .map(([sum, word]) =>
      h(
        'span',
        { class: `tally ${word}` },
        word === 'info' ? `${number(sum)} info` : counted(sum, word),
      ),
    )
}

function facts(audit: Audit, index: number, detail: Detail): HTMLElement {
  const { packages, profiles } = audit.overview
  const profile = profiles[packages.profile[index]!]
  const rows: [string, Child][] = [
    ['Source', h('bdi', {}, detail.source)],
    ['Branch', detail.branch && h('bdi', {}, detail.branch)],
    [
      'Version',
      detail.version &&
        h(
          'span',
          {},
          h('code', { title: detail.version }, shortVersion(detail.version)),
          detail.date && ` of ${detail.date}`,
        ),
    ],
    [
      'Profile',
      profile !== undefined &&
        `${profile}${detail.profile_reason ? `: ${detail.profile_reason}` : ''}`,
    ],
    ['Runs', detail.runs.length > 0 && detail.runs.join(', ')],
    [
      'Files',
      detail.files[0] + detail.files[1] + detail.files[2] > 0 &&
        `${number(detail.files[0])} scanned, ${number(detail.files[1])} skipped, ${number(detail.files[2])} failed`,
    ],
    ['Notes', detail.notes.length > 0 && detail.notes.join(' ')],
  ]
  return h(
    'dl',
    { class: 'facts' },
    ...rows
      .filter(([, value]) => value)
      .flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]),
  )
}

function failure(detail: Detail): HTMLElement | null {
  if (detail.failure === null) return null
  return h(
    'p',
    { class: 'notice' },
    h('strong', {}, `Not judged (${detail.failure_kind}): `),
    detail.failure,
  )
}

function criteria(audit: Audit, index: number, detail: Detail): HTMLElement | null {
  if (audit.criterion(index, 1) === '-') return null
  const reasons = new Map(detail.undecided.map(([criterion, reason]) => [criterion, reason]))
  return h(
    'ol',
    { class: 'criteria-list', 'aria-label': 'Criteria' },
    ...audit.overview.criteria.map((title, i) => {
      const state = audit.criterion(index, i + 1)
      const { name, sign } = STATES[state]!
      return h(
        'li',
        {
          class: `state-${state}`,
          title: reasons.get(i + 1) ?? criterionTitle(audit, i + 1, state),
        },
        h('span', { 'aria-hidden': 'true', class: 'sign' }, sign),
        `${i + 1} ${title}`,
        h(
          'span',
          { class: 'unseen' },
          `: ${name}${reasons.has(i + 1) ? `, ${reasons.get(i + 1)}` : ''}`,
        ),
      )
    }),
  )
}

function findings(audit: Audit, index: number, detail: Detail): Child[] {
  const { overview } = audit
  const all: Shown[] = detail.findings.map((finding, i) => {
    const at = audit.starts[index]! + i
    return {
      ...finding,
      rule: overview.rules[overview.findings.rule[at]!]!,
      message: overview.messages[overview.findings.message[at]!]!,
      path: overview.paths[overview.findings.path[at]!]!,
    }
  })
  const ranks = { error: 0, warning: 1, info: 2 }
  all.sort(
    (a, b) =>
      ranks[a.rule.severity] - ranks[b.rule.severity] ||
      (a.cause ?? Infinity) - (b.cause ?? Infinity) ||
      0,
  )
  if (all.length === 0)
    return detail.failure === null ? [h('p', { class: 'empty' }, 'No findings.')] : []
  return [
    h('h3', {}, counted(all.length, 'finding')),
    h('ol', { class: 'findings' }, ...all.map(finding)),
  ]
}

function finding(finding: Shown): HTMLElement {
  const { rule } = finding
  const name =
    rule.page === null
      ? rule.name
      : h('a', { href: rule.page, rel: 'noreferrer', target: '_blank' }, rule.name)
  const extra: [string, string][] = [
    ['Runs', finding.runs.join(', ')],
    ['Modes', finding.modes.join(', ')],
  ]
  return h(
    'li',
    { class: `finding ${rule.severity}` },
    h(
      'p',
      { class: 'finding-head' },
      h('span', { class: `tally ${rule.severity}` }, rule.severity),
      h('code', {}, name),
      h('span', { class: 'dim' }, rule.code),
      finding.confidence !== 'high' &&
        h('span', { class: 'dim' }, `${finding.confidence} confidence`),
      finding.suppressed !== null &&
        h(
          'span',
          { class: 'dim' },
          `hidden by a comment${finding.suppressed && `: ${finding.suppressed}`}`,
        ),
    ),
    h('p', { class: 'message' }, ...prose(finding.message)),
    h('p', { class: 'place' }, h('bdi', {}, `${finding.path}:${finding.line}`)),
    frame(finding),
    finding.help && h('p', { class: 'help' }, h('strong', {}, 'Instead: '), ...prose(finding.help)),
    finding.related.length > 0 &&
      h(
        'ul',
        { class: 'related', 'aria-label': 'Related places' },
        ...finding.related.map(([path, line, message]) =>
          h('li', {}, h('bdi', {}, `${path}:${line}`), ' ', ...prose(message)),
        ),
      ),
    ...extra
      .filter(([, text]) => text)
      .map(([label, text]) => h('p', { class: 'dim' }, `${label}: ${text}`)),
  )
}

/** A sentence whose names in backquotes stand as code. */
function prose(text: string): Child[] {
  return text.split(/`([^`]+)`/).map((piece, i) => (i % 2 ? h('code', {}, piece) : piece))
}

function frame(finding: Shown): HTMLElement | null {
  if (finding.frame === null || finding.frame_line === null) return null
  const first = finding.frame_line
  const lines = finding.frame.split('\n').map((text, i) => {
    const at = first + i
    const within = at >= finding.line && at <= Math.max(finding.end_line, finding.line)
    const content: Child[] = within ? marked(text, at, finding) : [text]
    return h('span', { class: within ? 'line within' : 'line', 'data-line': at }, ...content, '\n')
  })
  return h(
    'pre',
    { class: 'frame', tabindex: 0, role: 'region', 'aria-label': `Lines of ${finding.path}` },
    h('code', {}, ...lines),
  )
}

/** A line with the part that a finding is about in a mark of its own. */
function marked(text: string, at: number, finding: Shown): Child[] {
  // Columns count characters, and a character may take two units of a string.
  const letters = [...text]
  const from =
    at === finding.line ? finding.column - 1 : letters.findIndex((letter) => letter.trim())
  const to = at === finding.end_line ? finding.end_column - 1 : letters.length
  if (from < 0 || to <= from || from >= letters.length) return [text]
  return [
    letters.slice(0, from).join(''),
    h('mark', {}, letters.slice(from, to).join('')),
    letters.slice(to).join(''),
  ]
}

function files(detail: Detail): Child[] {
  if (detail.unread.length === 0) return []
  return [
    h('h3', {}, 'Files that could not be read'),
    h(
      'ul',
      {},
      ...detail.unread.map(([path, reason]) => h('li', {}, h('bdi', {}, path), `: ${reason}`)),
    ),
  ]
}

function judge(detail: Detail): Child[] {
  if (detail.judge_ready === null) return []
  const claim = (claim: Detail['claims'][number]) =>
    h(
      'li',
      { class: `claim ${claim.state}` },
      h(
        'span',
        { class: `claim-state ${claim.state}` },
        claim.partial ? 'confirmed in part' : claim.state,
      ),
      h(
        'p',
        {},
        claim.text,
        claim.kind === 'concession' && h('span', { class: 'dim' }, ' (a concession)'),
      ),
      ...claim.points.map((point) =>
        h(
          'p',
          { class: 'dim' },
          `${point.topic}: ${point.state}${point.reason && `, ${point.reason}`}`,
          ...point.evidence
            .slice(0, 3)
            .map((e) =>
              h(
                'span',
                { class: 'evidence' },
                h('bdi', {}, `${e.path}:${e.line}`),
                ` ${e.text}${e.rule ? ` (${e.rule})` : ''}`,
              ),
            ),
        ),
      ),
    )
  return [
    h('h3', {}, 'What the judge said'),
    h('p', {}, verdictBadge(detail.judge_ready ? 'r' : 'n'), ' by the judge'),
    detail.judge_issue &&
      h(
        'details',
        {},
        h('summary', {}, 'The verdict in its own words'),
        h('p', { class: 'words' }, detail.judge_issue),
      ),
    detail.claims.length > 0 && h('ol', { class: 'claims' }, ...detail.claims.map(claim)),
    detail.missed.length > 0 &&
      h(
        'p',
        {},
        h('strong', {}, `${counted(detail.missed.length, 'error')} that no claim speaks of: `),
        detail.missed.map((f) => `${f.rule} at ${f.path}:${f.line}`).join('; '),
      ),
  ]
}
