/** A report of explint: what of it this action reads, and the check that it has that shape. */

import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'

export type Severity = 'error' | 'warning' | 'info'
export type CriterionState = 'met' | 'violated' | 'unknown'

export interface Place {
  path: string
  line: number
  message: string
}

export interface Finding {
  rule: string
  code: string
  severity: Severity
  message: string
  help: string
  path: string
  line: number
  column: number
  end_line: number
  end_column: number
  related: Place[]
  fingerprint: string
  state: 'open' | 'suppressed' | 'baseline'
  change: 'new' | 'unchanged' | null
}

export interface PackageReport {
  id: string
  source: { kind: string; location: string; member: string | null; rev: string | null }
  profile: { name: string; reason: string }
  verdict: {
    is_code_ready: boolean
    code_issue: string
    criteria: Record<string, CriterionState>
    undecided: { criterion: number; reason: string; decided_by: string }[]
  }
  coverage: {
    scanned: number
    skipped: { path: string; reason: string }[]
    failed: { path: string; reason: string }[]
  }
  findings: Finding[]
  hidden: number
  complete: boolean
  notes: string[]
  comparison: { against: string; base: string | null; problem: string; fixed: Finding[] } | null
  /** The branch the package was read from, where several are compared; ours, not explint's. */
  branch?: string
}

export interface InputError {
  location: string
  message: string
  help: string
}

export interface Report {
  schema_version: number
  tool: { name: string; version: string; rules_version: string }
  packages: PackageReport[]
  summary: { input_errors: InputError[]; interrupted: boolean }
}

/** A finding with its file counted from the top of the repository; null when it lies outside. */
export interface Located extends Finding {
  file: string | null
  package: string
  /** The commit that was read; null for the files checked out. */
  commit: string | null
}

/** A report that cannot be used: not JSON, another schema version, another shape. */
export class ReportError extends Error {
  override name = 'ReportError'
}

const SCHEMA_VERSION = 1

const text = { type: 'string', maxLength: 100_000 }
const name = { type: 'string', maxLength: 4096 }
const position = { type: 'integer', minimum: 1, maximum: 2 ** 31 }
const count = { type: 'integer', minimum: 0 }
const commit = { type: 'string', pattern: '^[0-9a-f]{40}(?:[0-9a-f]{24})?$' }
const orNull = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
const list = (items: object) => ({ type: 'array', items })
// What a later explint adds is no reason to refuse its report, so further properties pass.
const object = (properties: Record<string, object>, optional: string[] = []) => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((key) => !optional.includes(key)),
})

const finding = object({
  rule: name,
  code: name,
  severity: { enum: ['error', 'warning', 'info'] },
  message: text,
  help: text,
  path: name,
  line: position,
  column: position,
  end_line: position,
  end_column: position,
  related: list(object({ path: name, line: position, message: text })),
  fingerprint: name,
  state: { enum: ['open', 'suppressed', 'baseline'] },
  change: { enum: ['new', 'unchanged', null] },
})
const excuse = list(object({ path: name, reason: text }))

/** The part of explint's report schema (docs/schemas/report.schema.json) that the action needs. */
export const REPORT_SCHEMA = object({
  schema_version: { const: SCHEMA_VERSION },
  tool: object({ name, version: name, rules_version: name }),
  packages: list(
    object({
      id: name,
      source: object({
        kind: name,
        location: name,
        member: orNull(name),
        rev: orNull(commit),
      }),
      profile: object({ name, reason: text }),
      verdict: object({
        is_code_ready: { type: 'boolean' },
        code_issue: { type: 'string' },
        criteria: {
          type: 'object',
          propertyNames: { pattern: '^[1-9]$' },
          additionalProperties: { enum: ['met', 'violated', 'unknown'] },
        },
        undecided: list(object({ criterion: { type: 'integer' }, reason: text, decided_by: text })),
      }),
      coverage: object({ scanned: count, skipped: excuse, failed: excuse }),
      findings: list(finding),
      hidden: count,
      complete: { type: 'boolean' },
      notes: list(text),
      comparison: orNull(
        object({
          against: name,
          base: orNull(commit),
          problem: text,
          fixed: list(finding),
        }),
      ),
    }),
  ),
  summary: object({
    input_errors: list(object({ location: name, message: text, help: text })),
    interrupted: { type: 'boolean' },
  }),
})

/**
 * The report in a text.
 *
 * @throws ReportError naming the first thing that is not as it should be.
 */
export function parseReport(content: string): Report {
  let value: unknown
  try {
    value = JSON.parse(content)
  } catch (error) {
    throw new ReportError(`it is no JSON: ${(error as Error).message}`)
  }
  const version = (value as { schema_version?: unknown } | null)?.schema_version
  if (typeof version === 'number' && version !== SCHEMA_VERSION) {
    throw new ReportError(
      `it has schema version ${version}, and this action reads version ${SCHEMA_VERSION}; ` +
        'use the release of the action that belongs to the explint in use',
    )
  }
  const validate = new Ajv2020().compile<Report>(REPORT_SCHEMA)
  if (!validate(value)) {
    const [first] = validate.errors ?? []
    throw new ReportError(`at ${first?.instancePath || 'the top'} it ${first?.message}`)
  }
  return value
}

/** The path of a file of a package, from the top of the repository; null when it lies outside. */
export function fileOf(report: PackageReport, inner: string): string | null {
  const { location, member } = report.source
  const joined = path.posix.normalize(
    path.posix.join(location.replaceAll('\\', '/'), member ?? '', inner),
  )
  const outside = joined === '..' || joined.startsWith('../') || path.posix.isAbsolute(joined)
  return outside ? null : joined
}

/** The open findings of all packages, in the report's order. */
export function openFindings(report: Report): Located[] {
  return report.packages.flatMap((pkg) =>
    pkg.findings
      .filter((finding) => finding.state === 'open')
      .map((finding) => ({
        ...finding,
        file: fileOf(pkg, finding.path),
        package: pkg.id,
        commit: pkg.source.rev,
      })),
  )
}

/** The findings of the base that are gone, in the report's order. */
export function fixedFindings(report: Report): Located[] {
  return report.packages.flatMap((pkg) =>
    (pkg.comparison?.fixed ?? []).map((finding) => ({
      ...finding,
      file: fileOf(pkg, finding.path),
      package: pkg.id,
      commit: pkg.comparison?.base ?? null,
    })),
  )
}

/** One report of several, in the order given; explint's own sums are not needed here. */
export function mergeReports(reports: readonly Report[]): Report {
  const [first] = reports
  if (first === undefined) throw new ReportError('there is no report to merge')
  return {
    schema_version: SCHEMA_VERSION,
    tool: first.tool,
    packages: reports.flatMap((report) => report.packages),
    summary: {
      input_errors: reports.flatMap((report) => report.summary.input_errors),
      interrupted: reports.some((report) => report.summary.interrupted),
    },
  }
}
