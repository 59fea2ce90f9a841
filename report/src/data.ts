/** What the page holds: one block with the columns of all packages, and blocks of details. */

export type Severity = 'error' | 'warning' | 'info'

export interface Rule {
  name: string
  code: string
  severity: Severity
  criteria: number[]
  summary: string
  page: string | null
}

export interface Counts {
  packages: number
  ready: number
  unready: number
  failed: number
  incomplete: number
  findings: number
  errors: number
  warnings: number
  infos: number
  suppressed: number
}

/** One entry per package in each list; indices point into the lists of names beside it. */
export interface PackageColumns {
  id: string[]
  profile: number[]
  place: number[]
  series: number[]
  order: (number | null)[]
  version: (string | null)[]
  /** A letter per package: r ready, n not ready, f failed. */
  verdict: string
  /** Nine letters per package: m met, v violated, u unknown, - not judged. */
  criteria: string
  errors: number[]
  warnings: number[]
  infos: number[]
  /** The rule of the most blocking root cause, -1 for none. */
  first: number[]
  seconds: number[]
  /** How many findings a package has in the columns of findings. */
  findings: number[]
}

export interface FindingColumns {
  rule: number[]
  message: number[]
  path: number[]
}

export interface Tally {
  confirmed: number
  refuted: number
  undecided: number
  missed: number
}

export interface JudgementSummary {
  packages: number
  agreement: {
    both_ready: number
    both_not_ready: number
    only_judge_ready: number
    only_explint_ready: number
  }
  claims: Tally
  concessions: Tally
  partial: number
  by_criterion: Record<string, Tally>
  by_rule: Record<string, Tally>
}

export interface Overview {
  version: number
  name: string
  tool: { version: string; rules_version: string }
  sources: string[]
  seconds: number
  complete: boolean
  /** Of the whole audit, also where the page holds only some of its packages. */
  counts: Counts
  criteria: string[]
  rules: Rule[]
  profiles: string[]
  places: string[]
  series: string[]
  messages: string[]
  paths: string[]
  packages: PackageColumns
  findings: FindingColumns
  block: number
  judgement: JudgementSummary | null
}

export interface FindingDetail {
  cause: number | null
  confidence: string
  line: number
  column: number
  end_line: number
  end_column: number
  help: string
  related: [path: string, line: number, message: string][]
  runs: string[]
  modes: string[]
  suppressed: string | null
  frame_line: number | null
  frame: string | null
}

export interface Claim {
  text: string
  state: 'confirmed' | 'refuted' | 'undecided'
  kind: 'problem' | 'concession'
  partial: boolean
  points: {
    topic: string
    state: string
    reason: string
    evidence: { path: string; line: number; text: string; rule: string | null }[]
  }[]
}

export interface Detail {
  source: string
  repository: string | null
  branch: string | null
  version: string | null
  date: string | null
  profile_reason: string | null
  issue: string | null
  failure_kind: string | null
  failure: string | null
  undecided: [criterion: number, reason: string, decided_by: string][]
  files: [scanned: number, skipped: number, failed: number]
  unread: [path: string, reason: string][]
  runs: string[]
  notes: string[]
  judge_ready: boolean | null
  judge_issue: string | null
  claims: Claim[]
  missed: { rule: string; path: string; line: number; message: string }[]
  findings: FindingDetail[]
}

/** The audit in memory, with what is looked up often worked out once. */
export class Audit {
  readonly size: number
  /** Where the findings of each package begin; one more entry for the end. */
  readonly starts: Uint32Array
  readonly rule: Uint16Array
  readonly message: Uint32Array
  /** What a word of a search is looked for in, in lower case. */
  readonly words: string[]
  readonly messages: string[]
  readonly ruleWords: string[]
  /** The sources by as much of their ends as tells them apart. */
  readonly places: string[]
  readonly overview: Overview

  constructor(overview: Overview) {
    const { packages, findings } = overview
    this.overview = overview
    this.size = packages.id.length
    this.places = distinctEnds(overview.places)
    this.starts = new Uint32Array(this.size + 1)
    for (let i = 0; i < this.size; i++) this.starts[i + 1] = this.starts[i]! + packages.findings[i]!
    this.rule = Uint16Array.from(findings.rule)
    this.message = Uint32Array.from(findings.message)
    this.words = packages.id.map((id, i) =>
      [
        id,
        overview.places[packages.place[i]!],
        overview.profiles[packages.profile[i]!] ?? '',
        packages.version[i] ?? '',
      ]
        .join('\n')
        .toLowerCase(),
    )
    this.messages = overview.messages.map((message) => message.toLowerCase())
    this.ruleWords = overview.rules.map((rule) => `${rule.name} ${rule.code}`.toLowerCase())
  }

  /** The state of a criterion (1 to 9) of a package, as a letter. */
  criterion(index: number, number: number): string {
    return this.overview.packages.criteria[index * 9 + number - 1]!
  }
}

/** Paths cut to their last parts, as many as make each of them another. */
export function distinctEnds(paths: string[]): string[] {
  const parts = paths.map((path) => path.replace(/\/+$/, '').split('/'))
  const most = Math.max(1, ...parts.map((list) => list.length))
  for (let kept = 1; kept < most; kept++) {
    const ends = parts.map((list) => list.slice(-kept).join('/'))
    if (new Set(ends).size === paths.length) return ends
  }
  return paths
}

/** Base64 of a zlib stream of JSON, as it stands in a block of the page. */
export async function unpack<T>(text: string): Promise<T> {
  const binary = atob(text.trim())
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'))
  return (await new Response(stream).json()) as T
}
