/**
 * Chooses the annotations: a pure function of findings and changed lines.
 *
 * GitHub shows ten annotations of each level for a step and drops the others without a word, so
 * nine are spent on findings and the last one says what else there is and where.
 */

import { commandText, cut } from './escape.ts'
import type { Located, Severity } from './report.ts'

/** Lines that a change added or rewrote, by file: inclusive ranges, 1-based, in order. */
export type ChangedLines = ReadonlyMap<string, readonly (readonly [number, number])[]>

export type Level = 'error' | 'warning' | 'notice'

export interface Annotation {
  level: Level
  title: string
  message: string
  file?: string
  startLine?: number
  endLine?: number
  startColumn?: number
  endColumn?: number
}

export interface Plan {
  /** In the order in which they are to be written. */
  annotations: Annotation[]
  /** Every finding, the most important first. */
  ranked: Located[]
  /** How many of `ranked` stand on changed lines; all of them when the changes are not known. */
  onChangedLines: number
}

/** Findings of one level that are shown one by one (the runner takes ten annotations of each). */
export const SHOWN_PER_LEVEL = 9
/** The runner cuts longer messages (actions/runner, `ExecutionContext`). */
export const MESSAGE_LIMIT = 4096
const PLACES_NAMED = 10

const LEVELS: Record<Severity, Level> = { error: 'error', warning: 'warning', info: 'notice' }
const RANKS: Record<Severity, number> = { error: 0, warning: 1, info: 2 }

/** Whether a finding touches a changed line. */
export function isOnChangedLine(finding: Located, changed: ChangedLines): boolean {
  const ranges = (finding.file !== null && changed.get(finding.file)) || []
  const end = Math.max(finding.line, finding.end_line)
  return ranges.some(([first, last]) => finding.line <= last && first <= end)
}

/**
 * What is annotated, what is only told of, and in which order.
 *
 * @param findings the open findings of a report.
 * @param changed the changed lines, or null when there is nothing to compare with: all count then.
 */
export function plan(findings: readonly Located[], changed: ChangedLines | null): Plan {
  const rows = findings.map((finding) => ({
    finding,
    near: changed === null || isOnChangedLine(finding, changed),
  }))
  rows.sort(
    (a, b) =>
      Number(b.near) - Number(a.near) ||
      RANKS[a.finding.severity] - RANKS[b.finding.severity] ||
      Number(isOld(a.finding)) - Number(isOld(b.finding)) ||
      byPlace(a.finding, b.finding),
  )
  const annotations: Annotation[] = []
  const quiet: Located[] = []
  for (const severity of ['error', 'warning', 'info'] as const) {
    const level = rows.filter((row) => row.finding.severity === severity)
    const shown = level.filter((row) => row.near).slice(0, SHOWN_PER_LEVEL)
    annotations.push(...shown.map((row) => annotationOf(row.finding)))
    const rest = level.filter((row) => !shown.includes(row)).map((row) => row.finding)
    // Old defects in other places are nobody's alarm: a notice tells of them.
    if (severity !== 'info' && rest.some((finding) => !isOld(finding))) {
      annotations.push(remainder(LEVELS[severity], rest))
    } else {
      quiet.push(...rest)
    }
  }
  if (quiet.length > 0) annotations.push(remainder('notice', quiet))
  return {
    annotations,
    ranked: rows.map((row) => row.finding),
    onChangedLines: rows.filter((row) => row.near).length,
  }
}

function isOld(finding: Located): boolean {
  return finding.change === 'unchanged'
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function byPlace(a: Located, b: Located): number {
  return (
    compare(a.file ?? '', b.file ?? '') ||
    a.line - b.line ||
    a.column - b.column ||
    compare(a.code, b.code) ||
    compare(a.message, b.message) ||
    compare(a.fingerprint, b.fingerprint)
  )
}

function annotationOf(finding: Located): Annotation {
  const related = finding.related.map((r) => `${r.path}:${r.line}: ${r.message}`)
  const lines = [finding.message, finding.help, ...related].filter((line) => line !== '')
  const annotation: Annotation = {
    level: LEVELS[finding.severity],
    title: cut(commandText(`${finding.rule} (${finding.code})`), 255),
    message: '',
  }
  if (finding.file === null) {
    lines.unshift(`${finding.path}:${finding.line}:`)
  } else {
    annotation.file = finding.file
    annotation.startLine = finding.line
    annotation.endLine = Math.max(finding.line, finding.end_line)
    // The runner refuses columns of a span over several lines.
    if (annotation.endLine === annotation.startLine) {
      annotation.startColumn = finding.column
      if (finding.end_column > finding.column) annotation.endColumn = finding.end_column
    }
  }
  annotation.message = message(lines)
  return annotation
}

function message(lines: readonly string[]): string {
  return cut(commandText(lines.join('\n')), MESSAGE_LIMIT, '… (more in the report)')
}

/** One annotation in place of many: how many there are, and where they begin. */
function remainder(level: Level, findings: readonly Located[]): Annotation {
  const count = (severity: Severity, one: string) => {
    const number = findings.filter((finding) => finding.severity === severity).length
    return number === 0 ? [] : [`${number} ${one}${number === 1 ? '' : 's'}`]
  }
  const counts = [
    ...count('error', 'more error'),
    ...count('warning', 'more warning'),
    ...count('info', 'more note'),
  ].join(', ')
  const old = findings.filter(isOld).length
  const ages = findings.some((finding) => finding.change !== null)
    ? ` (${findings.length - old} new, ${old} old)`
    : ''
  const places = findings
    .slice(0, PLACES_NAMED)
    .map((finding) => `${finding.file ?? finding.path}:${finding.line}: ${finding.rule}`)
  const further = findings.length - places.length
  return {
    level,
    title: `explint: ${counts}`,
    message: message([
      `${counts}${ages}. All are in the job summary.`,
      ...places,
      ...(further > 0 ? [`… and ${further} more`] : []),
    ]),
  }
}
