/** The job summary and the comment on a pull request, as Markdown. Everything foreign is inert. */

import { code, inert, prose, urlPath } from './escape.ts'
import type { CriterionState, Located, PackageReport, Report } from './report.ts'
import { fixedFindings } from './report.ts'
import type { Plan } from './planner.ts'
import type { TrialRow } from './trial.ts'

/** The runner refuses a larger summary of a step (actions/runner, `CreateStepSummaryCommand`). */
export const SUMMARY_LIMIT = 1024 * 1024
/** GitHub refuses a longer comment body; it counts characters. */
export const COMMENT_LIMIT = 65_536

const CRITERIA = [
  'Complete implementation',
  'Hydra integration',
  'Data pipeline',
  'Model implementation',
  'File structure',
  'WandB integration',
  'Configuration files',
  'Evaluation script',
  'Trial mode',
]
/** Packages that stand side by side; more of them get a row each. */
const MOST_COLUMNS = 8
const STATES: Record<CriterionState, string> = {
  met: '✓ met',
  violated: '✗ violated',
  unknown: '? unknown',
}
const SEVERITIES = { error: '✗ error', warning: '⚠ warning', info: 'ℹ info' }

/** Where the lines of a file are shown: `BASE/blob/COMMIT/…`. */
export interface Links {
  repository: string
  commit: string
}

/** What a report is shown with. */
export interface Context {
  report: Report
  plan: Plan
  /** Null where no page shows the files. */
  links: Links | null
  /** What was asked for and could not be done, each a whole sentence of ours. */
  notes: readonly string[]
  /** How the runs of a trial ended; empty where there was none. */
  trials: readonly TrialRow[]
  /** Whether the findings let the job pass. */
  passed: boolean
  /** Where the whole report lies, for what is cut. */
  reportFile: string
}

/** Collects lines until a limit; what does not fit is counted and told of. */
class Page {
  readonly #limit: number
  readonly #measure: (text: string) => number
  #text = ''
  #size = 0

  constructor(limit: number, measure: (text: string) => number) {
    this.#limit = limit
    this.#measure = measure
  }

  get text(): string {
    return this.#text
  }

  add(line: string): boolean {
    const size = this.#measure(line) + 1
    if (this.#size + size > this.#limit) return false
    this.#text += `${line}\n`
    this.#size += size
    return true
  }

  /** A table whose last row tells how many rows are missing. False when rows are missing. */
  table(head: readonly string[], rows: Iterable<readonly string[]>, count: number): boolean {
    const begin = `\n| ${head.join(' | ')} |\n|${head.map(() => '---').join('|')}|`
    if (!this.add(begin)) return false
    let shown = 0
    for (const row of rows) {
      if (!this.add(`| ${row.join(' | ')} |`)) break
      shown += 1
    }
    return shown === count
  }
}

const plural = (number: number, one: string) => `${number} ${one}${number === 1 ? '' : 's'}`

function link(links: Links | null, finding: Located): string {
  const end = Math.max(finding.line, finding.end_line)
  const label = code(`${finding.file ?? finding.path}:${finding.line}`)
  if (links === null || finding.file === null) return label
  const lines = end > finding.line ? `#L${finding.line}-L${end}` : `#L${finding.line}`
  const address = `${links.repository}/blob/${finding.commit ?? links.commit}/${urlPath(finding.file)}`
  return `<a href="${address}${lines}">${label}</a>`
}

function findingRow(links: Links | null, finding: Located, compared: boolean): string[] {
  const said = [prose(finding.message), prose(finding.help)].filter((part) => part !== '')
  return [
    SEVERITIES[finding.severity],
    ...(compared ? [finding.change === 'unchanged' ? 'old' : '**new**'] : []),
    link(links, finding),
    `${said.join(' ')} ${code(finding.rule)}`,
  ]
}

function fixedRows(links: Links | null, report: Report): string[][] {
  return fixedFindings(report).map((finding) => [
    link(links, finding),
    `${prose(finding.message)} ${code(finding.rule)}`,
  ])
}

function comparedWith(report: Report): boolean {
  return report.packages.some((pkg) => pkg.comparison !== null)
}

/** One line of counts: errors, warnings, notes, and what is new or fixed. */
export function headline(report: Report, plan: Plan): string {
  const number = (severity: string) => plan.ranked.filter((f) => f.severity === severity).length
  const counts = [
    plural(number('error'), 'error'),
    plural(number('warning'), 'warning'),
    plural(number('info'), 'note'),
  ]
  if (comparedWith(report)) {
    counts.push(`${plan.ranked.filter((f) => f.change !== 'unchanged').length} new`)
    counts.push(`${fixedFindings(report).length} fixed`)
  }
  return counts.join(' · ')
}

function comparisons(report: Report): string[] {
  const lines = new Set<string>()
  for (const { comparison } of report.packages) {
    if (comparison === null) continue
    lines.add(
      comparison.base === null
        ? `Nothing to compare with, so every finding counts as new: ${prose(comparison.problem)}.`
        : `Compared with ${code(comparison.base.slice(0, 10))}.`,
    )
  }
  return [...lines]
}

function verdictOf(pkg: PackageReport): string {
  return pkg.verdict.is_code_ready ? '✓ ready' : '✗ not ready'
}

/** The name of a package: its folder, else its id. */
function nameOf(pkg: PackageReport): string {
  const { location, member } = pkg.source
  const folder = [location === '.' ? '' : location, member ?? ''].filter(Boolean).join('/')
  const parts = pkg.branch === undefined ? [folder || pkg.id] : [pkg.branch, folder]
  return parts.filter(Boolean).join(': ')
}

/** The job summary, at most {@link SUMMARY_LIMIT} bytes of UTF-8. */
export function jobSummary(context: Context, limit = SUMMARY_LIMIT): string {
  const { report, plan, links } = context
  // Room for the closing note, whatever comes before.
  const page = new Page(limit - 512, (text) => Buffer.byteLength(text))
  const ready = report.packages.filter((pkg) => pkg.verdict.is_code_ready).length
  const sums = `${headline(report, plan)} · ${ready} of ${plural(report.packages.length, 'package')} ready`
  let whole = page.add(`## ${context.passed ? '✓' : '✗'} explint: ${sums}`)
  for (const line of comparisons(report)) whole = page.add(`\n${line}`) && whole
  for (const note of context.notes) whole = page.add(`\n> ${prose(note)}`) && whole

  if (report.packages.length > 0) {
    const shown = report.packages
    if (shown.length <= MOST_COLUMNS && shown.every((pkg) => pkg.branch === undefined)) {
      const head = ['', ...shown.map((pkg) => code(nameOf(pkg)))]
      const rows = [
        ['**Verdict**', ...shown.map(verdictOf)],
        ['Profile', ...shown.map((pkg) => code(pkg.profile.name))],
        ...CRITERIA.map((title, index) => [
          `${index + 1} ${title}`,
          ...shown.map((pkg) => STATES[pkg.verdict.criteria[String(index + 1)] ?? 'unknown']),
        ]),
      ]
      whole = page.table(head, rows, rows.length) && whole
    } else {
      const rows = shown.map((pkg) => [
        code(nameOf(pkg)),
        verdictOf(pkg),
        Object.entries(pkg.verdict.criteria)
          .filter(([, state]) => state === 'violated')
          .map(([number]) => number)
          .join(', ') || '—',
        ...(['error', 'warning'] as const).map((severity) =>
          String(pkg.findings.filter((f) => f.state === 'open' && f.severity === severity).length),
        ),
      ])
      const columns = ['Package', 'Verdict', 'Violated criteria', 'Errors', 'Warnings']
      whole = page.table(columns, rows, rows.length) && whole
    }
  }
  if (context.trials.length > 0) {
    const rows = context.trials.map((trial) => [
      code(trial.package),
      code(trial.run),
      prose(trial.ended),
      `${trial.seconds.toFixed(1)} s`,
      trial.memory === null ? '' : `${Math.round(trial.memory / 2 ** 20)} MiB`,
      prose(trial.device),
    ])
    const columns = ['Package', 'Run', 'Ended', 'Time', 'Memory', 'Device']
    whole = page.add('\n### Trial') && page.table(columns, rows, rows.length) && whole
  }
  const compared = comparedWith(report)
  if (plan.ranked.length > 0) {
    const columns = ['Severity', ...(compared ? ['Change'] : []), 'Place', 'Finding']
    const rows = plan.ranked.map((finding) => findingRow(links, finding, compared))
    whole = page.add('\n### Findings') && page.table(columns, rows, rows.length) && whole
  }
  const fixed = fixedRows(links, report)
  if (fixed.length > 0) {
    whole =
      page.add('\n### Fixed') && page.table(['Was at', 'Finding'], fixed, fixed.length) && whole
  }
  whole = coverage(page, report) && whole
  if (!whole) {
    const file = context.reportFile === '' ? 'the JSON report' : code(context.reportFile)
    return `${page.text}\n\n**This summary is cut at GitHub's size limit. All is in ${file}.**\n`
  }
  return page.text
}

function coverage(page: Page, report: Report): boolean {
  const scanned = report.packages.reduce((sum, pkg) => sum + pkg.coverage.scanned, 0)
  const of = (key: 'skipped' | 'failed') =>
    report.packages.flatMap((pkg) =>
      pkg.coverage[key].map((entry) => [
        key,
        code(`${nameOf(pkg)}: ${entry.path}`),
        prose(entry.reason),
      ]),
    )
  const left = [...of('failed'), ...of('skipped')]
  for (const error of report.summary.input_errors) {
    left.unshift(['not read', code(error.location), prose(`${error.message} ${error.help}`)])
  }
  const hidden = report.packages.reduce((sum, pkg) => sum + pkg.hidden, 0)
  const accepted = report.packages
    .flatMap((pkg) => pkg.findings)
    .filter((finding) => finding.state !== 'open').length
  const sums = [
    `${plural(scanned, 'file')} scanned`,
    `${of('skipped').length} skipped`,
    `${of('failed').length} failed`,
    ...(accepted > 0 ? [`${accepted} suppressed or in the baseline`] : []),
    ...(hidden > 0 ? [`${hidden} hidden by rule selection`] : []),
    ...(report.summary.interrupted ? ['**interrupted**'] : []),
  ]
  const { name, version } = report.tool
  let whole = page.add(`\n### Coverage\n\n${sums.join(' · ')} · ${inert(`${name} ${version}`)}`)
  if (left.length > 0) whole = page.table(['', 'File', 'Reason'], left, left.length) && whole
  for (const note of report.packages.flatMap((pkg) => pkg.notes)) {
    whole = page.add(`\n> ${prose(note)}`) && whole
  }
  return whole
}

/**
 * The comment on a pull request: what the change adds and repairs, and the verdict.
 *
 * @param marker the line by which the comment is found again; it comes first.
 */
export function changesComment(context: Context, marker: string, limit = COMMENT_LIMIT): string {
  const { report, plan, links } = context
  const page = new Page(limit - 512, (text) => text.length)
  const fresh = plan.ranked.filter((finding) => finding.change !== 'unchanged')
  const fixed = fixedRows(links, report)
  const ready = report.packages.filter((pkg) => pkg.verdict.is_code_ready).length
  let whole = page.add(marker)
  whole =
    page.add(
      `**explint** · ${plural(fresh.length, 'new finding')} · ${fixed.length} fixed · ` +
        `${ready} of ${plural(report.packages.length, 'package')} ready`,
    ) && whole
  for (const line of comparisons(report)) whole = page.add(`\n${line}`) && whole
  if (fresh.length > 0) {
    const rows = fresh.map((finding) => findingRow(links, finding, false))
    whole = page.table(['Severity', 'Place', 'New finding'], rows, rows.length) && whole
  }
  if (fixed.length > 0) {
    whole = page.table(['Was at', 'Fixed'], fixed, fixed.length) && whole
  }
  if (whole) return page.text
  return `${page.text}\n\n**Cut at GitHub's size limit. All is in the job summary and the report.**\n`
}

/** Whether a comment would tell of anything that the change did. */
export function hasChanges(report: Report, plan: Plan): boolean {
  return fixedFindings(report).length > 0 || plan.ranked.some((f) => f.change !== 'unchanged')
}
