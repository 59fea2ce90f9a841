/**
 * One review with suggestions that a click applies.
 *
 * A rule's help names the code to write in prose, so a suggestion is tried before it is made: it is
 * applied to a copy of the commit and checked, and is offered only when its finding is gone and no
 * other has come.
 */

import fs from 'node:fs'
import path from 'node:path'
import { hunksOf } from './diff.ts'
import { code, prose } from './escape.ts'
import type { Repository } from './git.ts'
import { pullFiles, type Octokit, type Repo } from './github.ts'
import type { Explint } from './install.ts'
import { run } from './process.ts'
import { openFindings, parseReport, type Located, type Report } from './report.ts'

/** Suggestions of one review; more of them nobody reads. */
export const MOST_SUGGESTIONS = 30
/** Checks that are spent on trying. */
const MOST_TRIALS = 60

export interface Recheck {
  explint: Explint
  roots: readonly string[]
  options: readonly string[]
  temporary: string
  /** Milliseconds that all tries together may take. */
  timeoutMs: number
}

interface Suggestion {
  finding: Located
  file: string
  line: number
  text: string
}

// Names of the code stand between backticks, its texts between quotation marks.
const NAME = /`([^`…\r\n]+)`|"([^"`…\r\n]+)"/g
const MEANT = /\bdid you mean `([^`…\r\n]+)`\?/i
const INSTEAD = /^(?:Write|Use|Read|Call|Replace)\b/

/** Lines that a finding could mean in place of `line`, the likeliest first; often there are none. */
export function rewritten(finding: Located, line: string): string[] {
  if (finding.end_line > finding.line) return []
  const names = (text: string) =>
    [...text.matchAll(NAME)].map(([, name, quoted]) => name ?? quoted ?? '')
  const meant = MEANT.exec(`${finding.message} ${finding.help}`)?.[1]
  const wrong = names(finding.message)
  const right =
    meant !== undefined ? [meant] : INSTEAD.test(finding.help) ? names(finding.help) : []
  const tried: string[] = []
  for (const [index, fresh] of right.entries()) {
    const old = wrong[index]
    if (old === undefined || old === fresh) continue
    const places = occurrences(line, old)
    tried.push(
      places.reduceRight(
        (text, at) => text.slice(0, at) + fresh + text.slice(at + old.length),
        line,
      ),
    )
  }
  const [first] = right
  if (first !== undefined && finding.end_column > finding.column) {
    // Columns count characters, not UTF-16 units.
    const characters = [...line]
    const head = characters.slice(0, finding.column - 1).join('')
    tried.push(head + first + characters.slice(finding.end_column - 1).join(''))
  }
  return [...new Set(tried)].filter((text) => text !== line).slice(0, 3)
}

/** Where a name stands as a whole: `cfg.a` not within `cfg.ab` nor within `x.cfg.a`. */
function occurrences(line: string, name: string): number[] {
  const found: number[] = []
  for (let at = line.indexOf(name); at !== -1; at = line.indexOf(name, at + name.length)) {
    const before = line.charAt(at - 1)
    const after = line.charAt(at + name.length)
    if (!/[\w.]/.test(before) && !/\w/.test(after)) found.push(at)
  }
  return found
}

/** The comment of a suggestion; its fence is longer than any in the text. */
export function suggestionBody(finding: Located, text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(longest + 1)
  return `${prose(finding.message)} ${code(finding.rule)}\n\n${fence}suggestion\n${text}\n${fence}\n`
}

async function fingerprints(
  folder: string,
  recheck: Recheck,
): Promise<Map<string, Set<string>> | null> {
  const { explint, roots, options, temporary } = recheck
  const file = path.join(temporary, 'explint-recheck.json')
  fs.rmSync(file, { force: true })
  const args = [
    'check',
    '--quiet',
    '--exit-zero',
    ...options,
    `--output=json:${file}`,
    '--',
    ...roots,
  ]
  const timeoutMs = Math.max(1, Math.min(60_000, recheck.timeoutMs))
  await run(explint.program, [...explint.args, ...args], { cwd: folder, timeoutMs })
  if (!fs.existsSync(file)) return null
  const report: Report = parseReport(fs.readFileSync(file, 'utf8'))
  const found = new Map<string, Set<string>>()
  for (const finding of openFindings(report)) {
    const key = finding.package
    found.set(key, (found.get(key) ?? new Set()).add(finding.fingerprint))
  }
  return found
}

/** Whether a change takes a finding away and brings none. */
function repairs(
  finding: Located,
  before: Map<string, Set<string>>,
  after: Map<string, Set<string>>,
): boolean {
  if (after.get(finding.package)?.has(finding.fingerprint)) return false
  return [...after].every(([key, now]) => now.isSubsetOf(before.get(key) ?? new Set()))
}

interface Tried {
  made: Suggestion[]
  /** Findings that a limit left untried. */
  left: number
}

/** Tries what could be suggested, in a copy of the commit checked out. */
async function tried(
  candidates: readonly Located[],
  repository: Repository,
  recheck: Recheck,
): Promise<Tried> {
  const folder = fs.mkdtempSync(path.join(recheck.temporary, 'explint-copy-'))
  const made: Suggestion[] = []
  const end = Date.now() + recheck.timeoutMs
  const remaining = () => ({ ...recheck, timeoutMs: end - Date.now() })
  try {
    await repository.copyTo(folder)
    const before = await fingerprints(folder, remaining())
    if (before === null) return { made, left: candidates.length }
    let trials = 0
    for (const [index, finding] of candidates.entries()) {
      const target = path.join(folder, finding.file ?? '')
      if (!fs.lstatSync(target, { throwIfNoEntry: false })?.isFile()) continue
      const whole = fs.readFileSync(target)
      const text = whole.toString('utf8')
      // What is not UTF-8 would be written back as something else.
      if (!Buffer.from(text).equals(whole)) continue
      const lines = text.split('\n')
      const old = (lines[finding.line - 1] ?? '').replace(/\r$/, '')
      const lineEnd = lines[finding.line - 1]?.endsWith('\r') ? '\r' : ''
      for (const fresh of rewritten(finding, old)) {
        const spent = made.length >= MOST_SUGGESTIONS || trials++ >= MOST_TRIALS
        if (spent || Date.now() >= end) return { made, left: candidates.length - index }
        fs.writeFileSync(target, lines.with(finding.line - 1, fresh + lineEnd).join('\n'))
        const after = await fingerprints(folder, remaining())
        fs.writeFileSync(target, whole)
        if (after !== null && repairs(finding, before, after)) {
          made.push({
            finding,
            file: finding.file ?? '',
            line: finding.line,
            text: fresh,
          })
          break
        }
      }
    }
    return { made, left: 0 }
  } finally {
    await repository.dropCopy(folder)
  }
}

/**
 * Posts one review with what holds, unless it is there already.
 *
 * @param head the commit that the review is of.
 * @param findings those on changed lines.
 * @returns how many findings on lines of the diff a limit left untried.
 */
export async function suggest(
  octokit: Octokit,
  repo: Repo,
  number: number,
  head: string,
  findings: readonly Located[],
  repository: Repository,
  recheck: Recheck,
): Promise<number> {
  const files = new Map(
    (await pullFiles(octokit, repo, number)).map((file) => [file.filename, file]),
  )
  const candidates: Located[] = []
  for (const finding of findings) {
    const file = files.get(finding.file ?? '')
    const shown =
      file && hunksOf(file.patch).some((h) => h.first <= finding.line && finding.line <= h.last)
    // In a merge with the base branch a file may differ from that of the head.
    if (shown && (await repository.blob(file.filename)) === file.sha) candidates.push(finding)
  }
  if (candidates.length === 0) return 0
  const there = await octokit.paginate(octokit.rest.pulls.listReviewComments, {
    ...repo,
    pull_number: number,
    per_page: 100,
  })
  const known = new Set(
    there.filter((c) => c.user?.type === 'Bot').map((c) => `${c.path}\n${c.body.trim()}`),
  )
  const { made, left } = await tried(candidates, repository, recheck)
  const comments = made
    .map(({ finding, file, line, text }) => ({
      ...{ path: file, line, side: 'RIGHT' as const, body: suggestionBody(finding, text) },
    }))
    .filter((comment) => !known.has(`${comment.path}\n${comment.body.trim()}`))
  if (comments.length === 0) return left
  await octokit.rest.pulls.createReview({
    ...{ ...repo, pull_number: number, commit_id: head, event: 'COMMENT' as const, comments },
  })
  return left
}
