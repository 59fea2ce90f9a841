/** The action: finds the base, runs explint, shows what it says. */

import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import * as core from '@actions/core'
import { context } from '@actions/github'
import { commandText, logLine } from './escape.ts'
import { readEvent, type Event } from './event.ts'
import { GitError, Repository } from './git.ts'
import { attempt, connect, stickyComment } from './github.ts'
import { inside, InputProblem, outputPath, readInputs, type FailOn, type Inputs } from './inputs.ts'
import { install, PINNING_FILES, type Explint, type Places } from './install.ts'
import { plan, type ChangedLines } from './planner.ts'
import { run } from './process.ts'
import { mergeReports, openFindings, parseReport, ReportError, type Report } from './report.ts'
import { MOST_SUGGESTIONS, suggest } from './review.ts'
import { joined, outcomes, refusal, type TrialRow } from './trial.ts'
import { changesComment, hasChanges, headline, jobSummary, type Context } from './summary.ts'

const MOST_BRANCHES = 256
const MOST_REPORTS = 1024
/** Bytes of one report that are read. */
const REPORT_LIMIT = 256 * 1024 * 1024

/** Everything that the steps of one run share. */
class Session {
  readonly inputs: Inputs
  readonly places: Places
  readonly event: Event
  readonly repository: Repository
  readonly notes: string[] = []

  constructor(workspace: string, temporary: string, action: string) {
    this.inputs = readInputs(workspace)
    this.event = readEvent(context.eventName, context.payload as Parameters<typeof readEvent>[1])
    this.places = { workspace, temporary, action, foreign: this.event.pull !== null }
    const { token } = this.inputs
    if (token !== '') core.setSecret(token)
    const access = token === '' ? null : { server: context.serverUrl, token }
    this.repository = new Repository(workspace, access)
  }

  note(sentence: string): void {
    this.notes.push(sentence)
    core.info(logLine(sentence))
  }

  /** The commit to compare with, or null with a note that says why. */
  async base(): Promise<string | null> {
    const { against } = this.inputs
    if (against === 'none') return null
    const wanted = against === 'auto' ? this.event.base : against
    if (wanted === null) {
      if (this.event.problem !== '') {
        this.note(`Nothing to compare with, so every finding counts as new: ${this.event.problem}.`)
      }
      return null
    }
    try {
      const merged = against === 'auto' ? (this.event.pull?.head ?? null) : null
      return await this.repository.base(wanted, merged)
    } catch (error) {
      if (!(error instanceof GitError)) throw error
      this.note(`Nothing to compare with, so every finding counts as new: ${error.message}.`)
      return null
    }
  }

  async changed(base: string | null): Promise<ChangedLines | null> {
    if (base === null) return null
    try {
      return await this.repository.changed(base)
    } catch (error) {
      if (!(error instanceof GitError)) throw error
      this.note(`Annotations are not limited to changed lines: ${error.message}.`)
      return null
    }
  }

  /** The files that may pin explint, from a commit that no pull request chose. */
  async pinningFiles(base: string | null): Promise<ReadonlyMap<string, string>> {
    const commit = this.places.foreign ? base : 'HEAD'
    const files = new Map<string, string>()
    if (commit === null) return files
    for (const name of PINNING_FILES) {
      const text = await this.repository.fileAt(commit, name)
      if (text !== null) files.set(name, text)
    }
    return files
  }
}

/** What a run of explint gave. */
interface Outcome {
  report: Report
  passed: boolean
  /** The runs of a trial; none where there was none. */
  trials?: TrialRow[]
}

/** explint could not do its work. The message is a whole sentence. */
class ToolProblem extends Error {
  override name = 'ToolProblem'
}

/** Prints what others wrote, so that the runner takes none of it for a command. */
function printForeign(text: string): void {
  if (text.trim() === '') return
  const token = crypto.randomUUID()
  process.stdout.write(`::stop-commands::${token}\n`)
  for (const line of text.trimEnd().split('\n')) process.stdout.write(`${logLine(line)}\n`)
  process.stdout.write(`::${token}::\n`)
}

/** Runs one check and reads its report. */
async function check(
  session: Session,
  explint: Explint,
  options: readonly string[],
  base: string | null,
  file: string,
): Promise<Outcome> {
  const { inputs, places } = session
  // Without a base nothing is old.
  const failOn = base === null ? inputs.failOn.replace('new-', '') : inputs.failOn
  const args = [
    ...[...explint.args, 'check', '--quiet', '--color=never', `--fail-on=${failOn}`],
    ...[...inputs.checkOptions, ...options, `--output=json:${file}`],
    ...(base === null ? [] : [`--against=${base}`]),
    ...['--', ...inputs.roots],
  ]
  fs.rmSync(file, { force: true })
  const started = Date.now()
  const result = await run(explint.program, args, {
    cwd: places.workspace,
    timeoutMs: inputs.timeoutMs,
  })
  printForeign(result.stdout + result.stderr)
  core.debug(`explint took ${Date.now() - started} ms and exited with ${result.code}`)
  const { code } = result
  const said = result.stderr.trim().split('\n').at(-1) ?? ''
  if (code === null) throw new ToolProblem(`explint was stopped: ${result.problem}.`)
  if (code === 3) {
    throw new ToolProblem(
      `There is nothing to check: no experiment package in ${inputs.roots.join(', ')}.`,
    )
  }
  const report = fs.existsSync(file) ? readReport(file) : null
  if (report === null || ![0, 1, 2, 4].includes(code)) {
    throw new ToolProblem(`explint failed with exit code ${code}: ${said || 'it said nothing'}`)
  }
  if (code === 2 || code === 4)
    session.note(`explint could not read everything (exit code ${code}).`)
  return { report, passed: code === 0 }
}

/** Runs the packages for real and joins what was seen with the check. */
async function tried(session: Session, explint: Explint, outcome: Outcome): Promise<Outcome> {
  const { inputs, places } = session
  const folder = path.join(places.temporary, 'explint-trial')
  const file = path.join(places.temporary, 'explint-trial.json')
  fs.rmSync(file, { force: true })
  const args = [
    ...[...explint.args, 'trial', '--quiet', '--color=never', '--exit-zero', `--out=${folder}`],
    ...[...inputs.checkOptions.filter((option) => !option.startsWith('--baseline='))],
    ...[...inputs.trialOptions, `--output=json:${file}`, '--', ...inputs.roots],
  ]
  const result = await run(explint.program, args, {
    cwd: places.workspace,
    timeoutMs: inputs.trialTimeoutMs,
  })
  printForeign(result.stdout + result.stderr)
  if (!fs.existsSync(file)) {
    const said = result.problem || result.stderr.trim().split('\n').at(-1) || 'it said nothing'
    session.note(`The trial gave no report: ${said}.`)
    return { ...outcome, passed: false, trials: outcomes(folder) }
  }
  const report = joined(outcome.report, readReport(file))
  const severity = inputs.failOn.replace('new-', '') as FailOn
  const crashed = report.packages.map((pkg) => ({
    ...pkg,
    findings: pkg.findings.filter((finding) => finding.rule.startsWith('run/')),
  }))
  const passed = outcome.passed && !reaches({ ...report, packages: crashed }, severity)
  return { report, passed, trials: outcomes(folder) }
}

function readReport(file: string): Report {
  const { size } = fs.statSync(file)
  if (size > REPORT_LIMIT) throw new ToolProblem(`The report ${file} is too large: ${size} bytes.`)
  try {
    return parseReport(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    if (!(error instanceof ReportError)) throw error
    throw new ToolProblem(`The report ${path.basename(file)} cannot be used: ${error.message}.`)
  }
}

/** Whether open findings reach what the job is to fail on. */
export function reaches(report: Report, failOn: FailOn): boolean {
  if (failOn === 'never') return false
  const severity = failOn.replace('new-', '')
  const bar = ['error', 'warning', 'info'].indexOf(severity)
  return openFindings(report).some(
    (f) =>
      ['error', 'warning', 'info'].indexOf(f.severity) <= bar &&
      (severity === failOn || f.change !== 'unchanged'),
  )
}

/** Checks the branches of a pattern, each at its commit, without checking any out. */
async function checkBranches(session: Session, explint: Explint, file: string): Promise<Outcome> {
  const { inputs, repository } = session
  let branches = await repository.branches(inputs.branches)
  if (branches.length === 0) {
    throw new ToolProblem(`No branch of origin matches \`${inputs.branches}\`.`)
  }
  if (branches.length > MOST_BRANCHES) {
    session.note(`Only ${MOST_BRANCHES} of ${branches.length} branches are checked.`)
    branches = branches.slice(0, MOST_BRANCHES)
  }
  if (!(await repository.have(branches.map(([, id]) => id)))) {
    throw new ToolProblem('The branches could not be fetched from origin.')
  }
  const outcomes: Outcome[] = []
  for (const [name, id] of branches) {
    try {
      const outcome = await check(session, explint, [`--rev=${id}`], null, file)
      for (const pkg of outcome.report.packages) pkg.branch = name
      outcomes.push(outcome)
    } catch (error) {
      if (!(error instanceof ToolProblem)) throw error
      session.note(`The branch \`${name}\` could not be checked: ${error.message}`)
    }
  }
  if (outcomes.length === 0) throw new ToolProblem('None of the branches could be checked.')
  const whole = {
    report: mergeReports(outcomes.map((outcome) => outcome.report)),
    passed: outcomes.length === branches.length && outcomes.every((outcome) => outcome.passed),
  }
  fs.writeFileSync(file, JSON.stringify(whole.report))
  return whole
}

/** Joins the reports that the jobs of a matrix left in a folder. */
function joinReports(session: Session, file: string): Outcome {
  const { inputs, places } = session
  const folder = path.join(
    places.workspace,
    inside(places.workspace, inputs.reports || '.', 'reports'),
  )
  const files = fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort()
  if (files.length === 0) throw new ToolProblem('The folder in `reports` holds no report.')
  if (files.length > MOST_REPORTS)
    throw new ToolProblem(`More than ${MOST_REPORTS} reports to join.`)
  const report = mergeReports(files.map(readReport))
  fs.writeFileSync(file, JSON.stringify(report))
  const { input_errors: errors, interrupted } = report.summary
  const whole = errors.length === 0 && !interrupted
  return { report, passed: whole && !reaches(report, inputs.failOn) }
}

function annotate(annotations: ReturnType<typeof plan>['annotations']): void {
  for (const { level, message, ...properties } of annotations) core[level](message, properties)
}

async function writeSummary(text: string): Promise<void> {
  try {
    await core.summary.addRaw(text).write()
  } catch (error) {
    core.info(logLine(`The job summary could not be written: ${(error as Error).message}`))
  }
}

/** Does what the inputs ask for, and sets the exit code. */
export async function main(action: string): Promise<void> {
  const workspace = process.env['GITHUB_WORKSPACE'] ?? process.cwd()
  const temporary = process.env['RUNNER_TEMP'] ?? workspace
  try {
    await inSession(new Session(workspace, temporary, action))
  } catch (error) {
    const known =
      error instanceof InputProblem || error instanceof ToolProblem || error instanceof GitError
    const message = known ? error.message : `The action failed: ${(error as Error).stack ?? error}`
    core.setOutput('passed', 'false')
    core.setFailed(commandText(message))
  }
}

async function inSession(session: Session): Promise<void> {
  const { inputs, places, event, repository } = session
  const file = inputs.reportFile
    ? outputPath(places.workspace, places.temporary, inputs.reportFile, 'report-file')
    : path.join(places.temporary, 'explint-report.json')
  let base: string | null = null
  let explint: Explint | null = null
  let outcome: Outcome
  if (inputs.mode === 'merge') {
    outcome = joinReports(session, file)
    base = outcome.report.packages.find((pkg) => pkg.comparison?.base)?.comparison?.base ?? null
  } else {
    if (inputs.branches === '') base = await session.base()
    const known = base
    const files = () => session.pinningFiles(known)
    explint = await install(inputs, places, files, (sentence) => session.note(sentence))
    if (inputs.branches === '') {
      const sarif = inputs.sarifFile
        ? outputPath(places.workspace, places.temporary, inputs.sarifFile, 'sarif-file')
        : ''
      const options = sarif === '' ? [] : [`--output=sarif:${sarif}`]
      outcome = await check(session, explint, options, base, file)
      core.setOutput('sarif', sarif)
      if (inputs.trial) {
        const why = refusal(event.pull?.fork ?? false)
        if (why === '') {
          outcome = await tried(session, explint, outcome)
          fs.writeFileSync(file, JSON.stringify(outcome.report))
        } else {
          session.note(why)
        }
      }
    } else {
      outcome = await checkBranches(session, explint, file)
    }
  }
  const { report, passed } = outcome
  const changed = await session.changed(base)
  const planned = plan(openFindings(report), changed)
  // Files of other branches are not the ones that this commit shows.
  if (inputs.branches === '') annotate(planned.annotations)
  core.info(headline(report, planned))

  const shown: Context = {
    report,
    plan: planned,
    links: {
      repository: `${context.serverUrl}/${context.repo.owner}/${context.repo.repo}`,
      commit: event.pull?.head ?? context.sha,
    },
    notes: session.notes,
    trials: outcome.trials ?? [],
    passed,
    reportFile: path.basename(file),
  }
  if (event.pull !== null && (inputs.comment || inputs.review)) {
    const octokit = connect(inputs.token, context.apiUrl)
    const { number } = event.pull
    if (inputs.review && explint !== null) {
      const candidates = planned.ranked.slice(0, planned.onChangedLines)
      const recheck = {
        explint,
        roots: inputs.roots,
        options: inputs.checkOptions,
        timeoutMs: inputs.timeoutMs,
        ...places,
      }
      let left = 0
      const problem = await attempt('The review', 'pull-requests: write', async () => {
        left = await suggest(
          octokit,
          context.repo,
          number,
          event.pull?.head ?? '',
          candidates,
          repository,
          recheck,
        )
      })
      if (left > 0) {
        session.note(
          `Suggestions were not tried for ${left} of the findings on changed lines: a review holds ` +
            `${MOST_SUGGESTIONS}, and trying them may take \`timeout-minutes\`.`,
        )
      }
      if (problem !== null) session.note(problem)
    }
    if (inputs.comment) {
      const marker = '<!-- explint: changes -->'
      const body = hasChanges(report, planned) ? changesComment(shown, marker) : null
      const otherwise = `${marker}\n**explint** · this change adds and fixes no findings\n`
      const problem = await attempt('The comment', 'pull-requests: write', () =>
        stickyComment(octokit, context.repo, number, marker, body, otherwise),
      )
      if (problem !== null) session.note(problem)
    }
  }
  await writeSummary(jobSummary(shown))
  const counts = (severity: string) => planned.ranked.filter((f) => f.severity === severity).length
  const outputs = {
    passed,
    ready: report.packages.every((pkg) => pkg.verdict.is_code_ready),
    errors: counts('error'),
    warnings: counts('warning'),
    new: planned.ranked.filter((f) => f.change !== 'unchanged').length,
    fixed: report.packages.reduce((sum, pkg) => sum + (pkg.comparison?.fixed.length ?? 0), 0),
    base: base ?? '',
    report: file,
  }
  for (const [name, value] of Object.entries(outputs)) core.setOutput(name, value)
  if (!passed) {
    core.info(`The job fails: there are findings that \`fail-on: ${inputs.failOn}\` counts.`)
    process.exitCode = 1
  }
}
